"""Which lines of many texts a regular expression matches, and no expression that takes for ever.

A thousand megabytes are looked through in seconds: an expression that needs a certain word to match is tried on the
lines with that word only, and finding a word takes next to nothing.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from devicevault.errors import UsageError

#: Seconds an expression may take for one text of ordinary size, and for each megabyte of a larger one.
TEXT_LIMIT_S: Final = 2.0

_FLAGS: Final = re.compile(r"\(\?([aimsuxL]+)\)")
_CLASSES: Final = frozenset("AbBdDsSwWZ")
#: What may match in a line by itself and not where other lines stand around it: the text's begin and end, looks ahead
#: and behind, and repetitions that give nothing back. Such an expression is tried on each line.
_TELLS_A_LINE_ALONE: Final = re.compile(r"\\[AZ]|\(\?(?:[=!>]|<[=!])|[*+?}]\+")
#: An expression's parts: an escaped character, a set, a number of repetitions, any other character.
_TOKEN: Final = re.compile(
    r"\\(?P<escaped>.)|(?P<set>\[\^?(?:\\.|.)(?:\\.|[^\]\\])*\])|(?P<count>\{[\d,]+\})|(?P<plain>.)", re.DOTALL
)


class PatternTooSlowError(Exception):
    """The expression did not come to an end in a text within its time."""


@dataclass(frozen=True)
class Matcher:
    """A regular expression as ``grep`` takes it: it matches within one line."""

    pattern: re.Pattern[str]
    #: A word without which no line matches; empty where none is known.
    literal: str

    @classmethod
    def compile(cls, expression: str, *, ignore_case: bool = False, fixed: bool = False) -> Matcher:
        """Raises :class:`UsageError` for what is no expression. ``fixed``: the text itself, not an expression."""
        source = re.escape(expression) if fixed else expression
        try:
            pattern = re.compile(source, re.MULTILINE | (re.IGNORECASE if ignore_case else re.NOFLAG))
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(
                f"{expression!r} is not a regular expression: {error}", "write it as Python's re module takes it"
            ) from None
        return cls(pattern, required_literal(source))

    def lines(self, raw: bytes) -> list[tuple[int, str]]:
        """Number and text of each line of a UTF-8 text that matches.

        Raises :class:`PatternTooSlowError`; only the main thread of a process can tell the time.
        """
        if self.literal and not self.pattern.flags & re.IGNORECASE and self.literal.encode() not in raw:
            return []
        with _time_limit(TEXT_LIMIT_S * max(1.0, len(raw) / 1e6)):
            return list(self._matching(raw.decode()))

    def _matching(self, text: str) -> Iterator[tuple[int, str]]:
        number, counted_to = 1, 0
        for start, end in self._candidates(text):
            line = text[start:end]
            if self.pattern.search(line):
                number += text.count("\n", counted_to, start)
                counted_to = start
                yield number, line

    def _candidates(self, text: str) -> Iterator[tuple[int, int]]:
        """The lines that may match, each once."""
        is_folded = bool(self.pattern.flags & re.IGNORECASE)
        literal = self.literal.lower() if is_folded else self.literal
        # Beyond ASCII, letters differ from their small ones in ways that `lower` does not know.
        has_word = bool(literal) and not (is_folded and not (text.isascii() and literal.isascii()))
        searched = text.lower() if has_word and is_folded else text
        is_bound_to_its_line = _TELLS_A_LINE_ALONE.search(self.pattern.pattern) is not None
        position = 0
        while position <= len(text):
            if has_word:
                at = searched.find(literal, position)
            elif is_bound_to_its_line:
                at = position
            else:
                found = self.pattern.search(text, position)
                at = found.start() if found else -1
            if at < 0:
                return
            start = text.rfind("\n", 0, at) + 1
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            if start < len(text):
                yield start, end
            position = end + 1


def required_literal(expression: str) -> str:
    """The longest text every match of ``expression`` holds, as far as that is plain to see; else an empty string."""
    flags = _FLAGS.match(expression)
    if "|" in expression or (flags and "x" in flags[1]):
        return ""
    runs = [""]
    for token in _TOKEN.finditer(expression, flags.end() if flags else 0):
        escaped, character = token["escaped"], token["plain"]
        if (character and character in "()") or (escaped and escaped.isalnum() and escaped not in _CLASSES):
            return ""  # a group, which need not be there; or a code, or a reference to a group
        if token["count"] or (character and character in "?*"):
            runs[-1] = runs[-1][:-1]
            runs.append("")
        elif token["set"] or escaped in _CLASSES or (character and character in ".^$+"):
            runs.append("")
        else:
            runs[-1] += escaped or character
    return max(runs, key=len)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`PatternTooSlowError` in the block once its time is over: the ``re`` module looks for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise PatternTooSlowError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
