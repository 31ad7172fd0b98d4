"""What a device says of itself: model, version and serial number, and who changed it last."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from devicevault.collector.author import author_in
from devicevault.collector.scan import lowered, search
from devicevault.messages import CollectFacts
from devicevault.platforms.page import AuthorSource, FactSource, Platform

NAMES: Final = ("model", "version", "serial")


class Facts:
    """Gathered from each artifact as it is read, so that no text is held for them, and then from what is asked."""

    def __init__(self, page: Platform, ask: Callable[[str], str]) -> None:
        """``ask`` is given what the page wants asked, each once."""
        self._sources: tuple[AuthorSource | FactSource, ...] = (*page.author, *page.facts)
        self._ask = functools.cache(ask)
        #: By the source's place in the page.
        self._in_texts: dict[int, dict[str, str]] = {}

    def look_at(self, text: str) -> None:
        """Take what an artifact tells, as the device sent it; of two artifacts the first stands."""
        small = lowered(text)
        for place, source in enumerate(self._sources):
            if not source.asked:
                self._in_texts[place] = _told(source, text, small) | self._in_texts.get(place, {})

    def told(self) -> CollectFacts:
        """All that is known, of what two sources tell by the first; what the device does not say stays empty.

        Raises what ``ask`` raises.
        """
        found: dict[str, str] = {}
        for place, source in enumerate(self._sources):
            if isinstance(source, AuthorSource) and found:
                continue
            found = (self._answered(source) if source.asked else self._in_texts.get(place, {})) | found
        return CollectFacts(**found)

    def _answered(self, source: AuthorSource | FactSource) -> dict[str, str]:
        answer = self._ask(source.asked)
        return _told(source, answer, lowered(answer))


def _told(source: AuthorSource | FactSource, text: str, small: str) -> dict[str, str]:
    if isinstance(source, AuthorSource):
        return author_in(source, text, small)
    found = {name: search(pattern, text, small) for name in NAMES if (pattern := getattr(source, name))}
    return {name: match[1].strip() for name, match in found.items() if match and match[1] is not None}
