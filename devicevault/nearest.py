"""The nearest known word to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate most like ``word``, ignoring case, or an empty string when none comes near."""
    folded: dict[str, str] = {}
    for candidate in candidates:
        folded.setdefault(candidate.casefold(), candidate)
    matches = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[matches[0]] if matches else ""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``did you mean 'NEAREST'?``, or an empty string when no candidate comes near."""
    match = nearest(word, candidates)
    return f"did you mean {match!r}?" if match else ""
