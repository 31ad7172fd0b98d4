"""What differs between two texts, line by line."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

CONTEXT_LINES: Final = 3
#: Those of ASCII that ``splitlines`` knows besides the usual one.
_OTHER_LINE_ENDS: Final = "\r\v\f\x1c\x1d\x1e"
_LINE_NUMBER: Final = re.compile(r"([-+])(\d+)")


@dataclass(frozen=True)
class Pair:
    """A line of the old text beside one of the new; ``None`` where there is none. Numbers count from 1."""

    old_number: int | None
    old: str | None
    new_number: int | None
    new: str | None

    @property
    def is_changed(self) -> bool:
        return self.old != self.new


def count_changes(old: str, new: str) -> tuple[int, int]:
    """Lines added and removed. A line that only moved counts as neither; the time grows with the size alone."""
    if not old:
        # To look for what is the same would take longer than to count.
        return _lines_in(new), 0
    head = _line_begin(old, _same_characters(old, new))
    old, new = old[head:], new[head:]
    tail = _same_characters(old[::-1], new[::-1])
    # What is the same at the end counts from the first line that begins in there.
    end = old.find("\n", len(old) - tail) + 1 or len(old)
    before, after = old[:end], new[: len(new) - len(old) + end]
    if not before:
        return _lines_in(after), 0
    was, is_now = Counter(before.splitlines()), Counter(after.splitlines())
    return (is_now - was).total(), (was - is_now).total()


def _lines_in(text: str) -> int:
    """``len(text.splitlines())``, for most texts without making the lines."""
    if not text.isascii() or any(sign in text for sign in _OTHER_LINE_ENDS):
        return len(text.splitlines())
    return text.count("\n") + (not text.endswith("\n") and bool(text))


def unified_diff(old: str, new: str, old_name: str, new_name: str) -> Iterator[str]:
    """The unified difference, line by line, without line ends; nothing for texts of the same lines.

    Configurations mostly change in one place: what is the same before and after it is left out of the search, so
    that a text of many megabytes takes no longer than its change asks for.
    """
    before, after, skipped = _around_changes(old, new)
    lines = difflib.unified_diff(before, after, old_name, new_name, n=CONTEXT_LINES, lineterm="")
    for line in lines:
        yield _shifted(line, skipped) if line.startswith("@@") else line


def side_by_side(old: str, new: str) -> Iterator[list[Pair]]:
    """Each place where two texts differ, with the lines around it, old beside new."""
    before, after, skipped = _around_changes(old, new)
    matcher = difflib.SequenceMatcher(None, before, after)
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        pairs: list[Pair] = []
        if group[0][0] == "equal" and len(group) == 1:
            continue  # nothing differs
        for _, old_start, old_end, new_start, new_end in group:
            olds = [(number + skipped + 1, before[number]) for number in range(old_start, old_end)]
            news = [(number + skipped + 1, after[number]) for number in range(new_start, new_end)]
            for left, right in zip_longest(olds, news, fillvalue=(None, None)):
                pairs.append(Pair(*left, *right))
        yield pairs


def _around_changes(old: str, new: str) -> tuple[list[str], list[str], int]:
    """The lines of both texts without most of what is the same before and after, and how many go before them."""
    before, after = old.splitlines(), new.splitlines()
    head = _in_common(before, after, min(len(before), len(after)))
    tail = _in_common(before[::-1], after[::-1], min(len(before), len(after)) - head)
    skipped = max(0, head - CONTEXT_LINES)
    left_out = max(0, tail - CONTEXT_LINES)
    return before[skipped : len(before) - left_out], after[skipped : len(after) - left_out], skipped


def _in_common(before: Sequence[str], after: Sequence[str], limit: int) -> int:
    """How many of the first ``limit`` lines are the same."""
    for index in range(limit):
        if before[index] != after[index]:
            return index
    return limit


def _same_characters(old: str, new: str) -> int:
    """How many of the first characters are the same, found by halves: comparing long slices is quick."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _line_begin(text: str, position: int) -> int:
    """Where the line begins that this position is in."""
    return text.rfind("\n", 0, position) + 1


def _shifted(header: str, lines: int) -> str:
    """A ``@@ -1,2 +3,4 @@`` line counted from the beginning of the whole text."""
    return _LINE_NUMBER.sub(lambda match: f"{match[1]}{int(match[2]) + lines}", header)
