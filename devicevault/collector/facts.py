"""What a device says of itself: model, version and serial number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from devicevault.messages import CollectFacts
from devicevault.platforms.page import FactSource

_FACT_MAX: Final = 100


def read_facts(answers: Iterable[tuple[FactSource, str]]) -> CollectFacts:
    """The facts in these cleaned answers; the first answer that tells one counts."""
    found = {"model": "", "version": "", "serial": ""}
    for source, text in answers:
        for name, pattern in (("model", source.model), ("version", source.version), ("serial", source.serial)):
            found[name] = found[name] or _first(pattern, text)
    return CollectFacts(**found)


def _first(pattern: re.Pattern[str] | None, text: str) -> str:
    match = pattern.search(text) if pattern is not None else None
    return (match[min(match.re.groups, 1)] or "").strip()[:_FACT_MAX] if match else ""
