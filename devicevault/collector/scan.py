"""Match many patterns against one text quickly.

Python's ``re`` tries a pattern at every character of a text, some milliseconds for each pattern and 100 KB. A
platform page has dozens, and most lines match none. So a pattern is tried only on the lines that hold the literal
text every match of it must contain. Working line by line also keeps ``\\s`` from reaching into the next line, and
a careless pattern from backtracking through the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_QUANTIFIER: Final = re.compile(r"[*+?]|\{\d*,?\d*\}")
_CLASS: Final = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z]*x")


class Scan:
    """A text prepared for many patterns."""

    def __init__(self, text: str) -> None:
        self.text = text
        # U+0130 is the one letter whose small form is longer, which would shift every offset after it.
        self._lowered = text.replace("\u0130", "i").lower()

    def matches(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Every match, within one line each; a pattern that names ``\\n`` is matched across lines."""
        literal = required_literal(pattern.pattern)
        if literal not in self._lowered:
            return
        if r"\n" in pattern.pattern:
            yield from pattern.finditer(self.text)
            return
        position = self._lowered.find(literal)
        while position >= 0:
            start = self.text.rfind("\n", 0, position) + 1
            end = self.text.find("\n", position)
            end = len(self.text) if end < 0 else end
            yield from pattern.finditer(self.text, start, end)
            position = self._lowered.find(literal, end + 1) if end < len(self.text) else -1


@lru_cache(maxsize=4096)
def required_literal(pattern: str) -> str:
    """The longest text, in small letters, that every match of ``pattern`` contains; empty when none is sure."""
    if _VERBOSE.search(pattern):
        return ""
    runs: list[str] = [""]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "|":
            return ""
        if quantifier := _QUANTIFIER.match(pattern, position):
            if not quantifier[0].startswith("+"):
                runs[-1] = runs[-1][:-1]
            runs.append("")
            position = quantifier.end()
        elif character == "\\" and not pattern[position + 1].isalnum():
            runs[-1] += pattern[position + 1]
            position += 2
        elif character in "\\[(.^$":
            runs.append("")
            position = _end_of_element(pattern, position)
        else:
            runs[-1] += character
            position += 1
    return max(runs, key=len).replace("\u0130", "i").lower()


def _end_of_element(pattern: str, position: int) -> int:
    """Where the escape, class, group or single sign that begins at ``position`` ends."""
    if pattern[position] == "\\":
        return position + 2
    if pattern[position] == "[":
        found = _CLASS.match(pattern, position)
        return found.end() if found else len(pattern)
    if pattern[position] != "(":
        return position + 1
    position += 1
    while position < len(pattern) and pattern[position] != ")":
        position = _end_of_element(pattern, position) if pattern[position] in "\\[(" else position + 1
    return position + 1
