"""Who changed a device last, as it tells itself: read before the line that tells it is removed as volatile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from devicevault.collector.scan import lowered, search
from devicevault.platforms.page import Platform

#: Characters of a name or a time: what is longer is neither.
MAX_CHARACTERS: Final = 100


def author_told(page: Platform, texts: Sequence[str], ask: Callable[[str], str]) -> dict[str, str]:
    """``author`` and ``authored_at``, from the artifacts as they were sent or from what ``ask`` answers.

    Empty where the device tells nothing. Raises what ``ask`` raises.
    """
    for source in page.author:
        for text in texts if source.command is None else [ask(source.command)]:
            if match := search(source.pattern, text, lowered(text)):
                told = match.groupdict()
                return {"author": _shown(told.get("by")), "authored_at": _shown(told.get("at"))}
    return {}


def _shown(words: str | None) -> str:
    """On one line, without control characters: a device says what it likes."""
    printable = "".join(character if character.isprintable() else " " for character in words or "")
    return " ".join(printable.split())[:MAX_CHARACTERS]
