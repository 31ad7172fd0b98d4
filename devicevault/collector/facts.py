"""What a device says of itself: model, version and serial number, and who changed it last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from devicevault.collector.author import author_told
from devicevault.collector.scan import lowered, search
from devicevault.messages import CollectFacts
from devicevault.platforms.page import Platform

NAMES: Final = ("model", "version", "serial")


def facts_told(page: Platform, texts: Sequence[str], ask: Callable[[str], str]) -> CollectFacts:
    """From the artifacts as they were sent and from what ``ask`` answers; what the device does not say stays empty.

    Raises what ``ask`` raises.
    """
    found = author_told(page, texts, ask)
    for source in page.facts:
        for text in [ask(source.asked)] if source.asked else texts:
            small = lowered(text)
            for name in NAMES:
                pattern = getattr(source, name)
                match = search(pattern, text, small) if pattern and name not in found else None
                if match:
                    found[name] = match[1].strip()
    return CollectFacts(**found)
