"""Match many patterns against one text quickly.

Python's ``re`` tries a pattern at every character of a text, some milliseconds for each pattern and 100 KB. A
platform page has dozens, and most lines match none. So a pattern is tried only on the lines that hold one of the
literal texts every match of it must contain. Working line by line also keeps ``\\s`` from reaching into the next line,
and a careless pattern from backtracking through the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_QUANTIFIER: Final = re.compile(r"[*+?]|\{\d*,?\d*\}")
_CLASS: Final = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
#: A class of all signs but those it names.
_EXCLUDING: Final = re.compile(r"\[\^\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z]*x")
_NO_DIGITS: Final = dict.fromkeys(map(ord, "0123456789"))
#: How a group begins whose content is part of the match.
_GROUP: Final = re.compile(r"\((?:\?(?:P<\w+>|:|>|[aimsu]+:))?(?!\?)")


class Scan:
    """A text prepared for many patterns."""

    def __init__(self, text: str, *, made_from: Scan | None = None) -> None:
        """``made_from``: the scan of a text of which lines were left out, or parts replaced by a sign no pattern names.

        What is left stood in that text: a literal it did not hold need not be looked for again.
        """
        self.text = text
        self._lowered = lowered(text)
        self._kinds: str = made_from._kinds if made_from else _kinds_of_lines(self._lowered)

    def matches(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Every match, within one line each; a pattern that names ``\\n`` is matched across lines."""
        wanted = required_literals(pattern.pattern) or ("",)
        literals = [literal for literal in wanted if _kind_of(literal) in self._kinds and literal in self._lowered]
        if not literals:
            return
        if spans_lines(pattern.pattern):
            yield from pattern.finditer(self.text)
            return
        for start, end in sorted({line for literal in literals for line in self._lines_with(literal)}):
            yield from pattern.finditer(self.text, start, end)

    def _lines_with(self, literal: str) -> Iterator[tuple[int, int]]:
        position = self._lowered.find(literal)
        while position >= 0:
            start = self.text.rfind("\n", 0, position) + 1
            end = self.text.find("\n", position)
            if end < 0:
                yield start, len(self.text)
                return
            yield start, end
            position = self._lowered.find(literal, end + 1)


def search(pattern: re.Pattern[str], text: str, small: str) -> re.Match[str] | None:
    """As ``pattern.search(text)``, which looks at every character; where nothing the pattern needs is there, at none.

    ``small`` is the text :func:`lowered`, once for many patterns.
    """
    wanted = required_literals(pattern.pattern)
    if wanted and not any(literal in small for literal in wanted):
        return None
    return pattern.search(text)


@lru_cache(maxsize=4096)
def spans_lines(pattern: str) -> bool:
    """Whether ``pattern`` names a line end as a part of what it matches; ``[^\\n]`` names it to stay within a line."""
    return r"\n" in _EXCLUDING.sub("", pattern)


@lru_cache(maxsize=4096)
def required_literals(pattern: str) -> tuple[str, ...]:
    """Texts in small letters of which every match of ``pattern`` contains at least one; none when that is not sure."""
    if _VERBOSE.search(pattern):
        return ()
    alternatives = [_best_of(branch) for branch in _branches(pattern)]
    return tuple(dict.fromkeys(text for best in alternatives for text in best)) if all(alternatives) else ()


def _kinds_of_lines(text: str) -> str:
    """Each kind of line once: thousands of lines of a configuration differ in nothing but numbers."""
    return "\n".join(dict.fromkeys(_without_digits(text).split("\n")))


@lru_cache(maxsize=4096)
def _kind_of(literal: str) -> str:
    return _without_digits(literal)


def _without_digits(text: str) -> str:
    return text.translate(_NO_DIGITS)


def lowered(text: str) -> str:
    """The text in small letters, each at its place."""
    # U+0130 is the one letter whose small form is longer, which would shift every offset after it.
    return text.replace("\u0130", "i").lower()


def _branches(pattern: str) -> list[str]:
    """The pattern's alternatives at its outermost level."""
    branches = [""]
    position = 0
    while position < len(pattern):
        end = _end_of_element(pattern, position)
        if pattern[position] == "|":
            branches.append("")
        else:
            branches[-1] += pattern[position:end]
        position = end
    return branches


def _best_of(branch: str) -> tuple[str, ...]:
    """The most telling of the texts, and sets of texts, that a pattern without alternatives requires."""
    candidates: list[tuple[str, ...]] = []
    run = ""
    position = 0
    while position < len(branch):
        end = _end_of_element(branch, position)
        element = branch[position:end]
        quantifier = _QUANTIFIER.match(branch, end)
        is_optional = quantifier is not None and quantifier[0] not in ("+", "{1,}")
        literal = _literal(element)
        if literal and not is_optional:
            run += literal
        if not literal or quantifier:
            candidates.append((run,))
            run = ""
        if element[0] == "(" and not is_optional:
            candidates.append(_inside(element))
        position = end
        while quantifier := _QUANTIFIER.match(branch, position):
            position = quantifier.end()
    candidates.append((run,))
    return max((c for c in candidates if all(c)), key=lambda c: min(map(len, c), default=0), default=())


def _literal(element: str) -> str:
    """The sign this element stands for, or an empty string for a class, group or place."""
    if element[0] == "\\":
        return "" if element[1:].isalnum() else lowered(element[1:])
    return "" if element[0] in "[(.^$" else lowered(element)


def _inside(group: str) -> tuple[str, ...]:
    found = _GROUP.match(group)
    return required_literals(group[found.end() : -1]) if found else ()


def _end_of_element(pattern: str, position: int) -> int:
    """Where the escape, class, group or single sign that begins at ``position`` ends."""
    if pattern[position] == "\\":
        return min(position + 2, len(pattern))
    if pattern[position] == "[":
        found = _CLASS.match(pattern, position)
        return found.end() if found else len(pattern)
    if pattern[position] != "(":
        return position + 1
    position += 1
    while position < len(pattern) and pattern[position] != ")":
        position = _end_of_element(pattern, position)
    return position + 1
