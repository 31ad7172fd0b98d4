"""Who changed a device last, as it tells itself: read before the line that tells it is removed as volatile."""

from __future__ import annotations

from typing import Final

from devicevault.collector.scan import search
from devicevault.platforms.page import AuthorSource

#: Characters of a name or a time: what is longer is neither.
MAX_CHARACTERS: Final = 100


def author_in(source: AuthorSource, text: str, small: str) -> dict[str, str]:
    """``author`` and ``authored_at`` as the text tells them, either of which may be empty; nothing where it does not.

    ``small`` is the text in small letters.
    """
    match = search(source.pattern, text, small)
    if match is None:
        return {}
    told = match.groupdict()
    return {"author": _shown(told.get("by")), "authored_at": _shown(told.get("at"))}


def _shown(words: str | None) -> str:
    """On one line, without control characters: a device says what it likes."""
    printable = "".join(character if character.isprintable() else " " for character in words or "")
    return " ".join(printable.split())[:MAX_CHARACTERS]
