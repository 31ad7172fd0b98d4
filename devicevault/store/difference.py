"""What differs between two texts, line by line."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

CONTEXT_LINES: Final = 3
_LINE_NUMBER: Final = re.compile(r"([-+])(\d+)")


def count_changes(old: str, new: str) -> tuple[int, int]:
    """Lines added and removed. A line that only moved counts as neither; the time grows with the size alone."""
    before, after = Counter(old.splitlines()), Counter(new.splitlines())
    return (after - before).total(), (before - after).total()


def unified_diff(old: str, new: str, old_name: str, new_name: str) -> Iterator[str]:
    """The unified difference, line by line, without line ends; nothing for texts of the same lines.

    Configurations mostly change in one place: what is the same before and after it is left out of the search, so
    that a text of many megabytes takes no longer than its change asks for.
    """
    before, after = old.splitlines(), new.splitlines()
    head = _in_common(before, after, min(len(before), len(after)))
    tail = _in_common(before[::-1], after[::-1], min(len(before), len(after)) - head)
    skipped = max(0, head - CONTEXT_LINES)
    left_out = max(0, tail - CONTEXT_LINES)
    lines = difflib.unified_diff(
        before[skipped : len(before) - left_out],
        after[skipped : len(after) - left_out],
        old_name,
        new_name,
        n=CONTEXT_LINES,
        lineterm="",
    )
    for line in lines:
        yield _shifted(line, skipped) if line.startswith("@@") else line


def _in_common(before: Sequence[str], after: Sequence[str], limit: int) -> int:
    """How many of the first ``limit`` lines are the same."""
    for index in range(limit):
        if before[index] != after[index]:
            return index
    return limit


def _shifted(header: str, lines: int) -> str:
    """A ``@@ -1,2 +3,4 @@`` line counted from the beginning of the whole text."""
    return _LINE_NUMBER.sub(lambda match: f"{match[1]}{int(match[2]) + lines}", header)
