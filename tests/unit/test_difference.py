"""Differences between two texts are true, whatever the texts are."""

from __future__ import annotations

import difflib
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from devicevault.store.difference import count_changes, side_by_side, unified_diff

LINES = st.lists(st.sampled_from(["a", "b", "c", "interface 1", "!"]), max_size=30)


def patched(old: Sequence[str], diff: Iterable[str]) -> list[str]:
    """``old`` with a unified difference applied, by its line numbers."""
    new: list[str] = []
    position = 0
    for line in list(diff)[2:]:
        if line.startswith("@@"):
            start, _, count = line.split()[1].removeprefix("-").partition(",")
            begin = int(start) - (count != "0")
            new += old[position:begin]
            position = begin
        elif line.startswith("+"):
            new.append(line[1:])
        else:
            assert old[position] == line[1:]
            position += 1
            if line.startswith(" "):
                new.append(line[1:])
    return new + list(old[position:])


@given(st.text(alphabet="a\n\r\v\f\x1c\x85\u2028 ", max_size=20))
def test_every_line_of_a_first_text_is_added(text: str) -> None:
    assert count_changes("", text) == (len(text.splitlines()), 0)


@given(LINES, LINES, LINES, LINES)
def test_the_difference_applied_to_the_old_text_gives_the_new_one(
    head: list[str], old: list[str], new: list[str], tail: list[str]
) -> None:
    before, after = head + old + tail, head + new + tail
    diff = list(unified_diff("\n".join(before), "\n".join(after), "old", "new"))
    assert bool(diff) == (before != after)
    assert patched(before, diff) == after


@given(st.text("ab\r\n\x0b", max_size=30), st.text("ab\r\n\x0b", max_size=30), st.text("ab\r\n\x0b", max_size=30))
def test_lines_are_counted_though_only_what_differs_is_looked_at(head: str, old: str, new: str) -> None:
    for before, after in ((head + old, head + new), (old + head, new + head), (head + old + head, head + new + head)):
        was, is_now = Counter(before.splitlines()), Counter(after.splitlines())
        assert count_changes(before, after) == ((is_now - was).total(), (was - is_now).total())


@given(LINES, LINES, LINES, LINES)
def test_side_by_side_each_line_stands_under_its_number(
    head: list[str], old: list[str], new: list[str], tail: list[str]
) -> None:
    before, after = head + old + tail, head + new + tail
    pairs = [pair for place in side_by_side("\n".join(before), "\n".join(after)) for pair in place]
    assert any(pair.is_changed for pair in pairs) == (before != after)
    assert all(pair.old_number is None or before[pair.old_number - 1] == pair.old for pair in pairs)
    assert all(pair.new_number is None or after[pair.new_number - 1] == pair.new for pair in pairs)
    changed = [pair for pair in pairs if pair.is_changed]
    left_out = [line for number, line in enumerate(before, 1) if number not in {pair.old_number for pair in changed}]
    stayed = [line for number, line in enumerate(after, 1) if number not in {pair.new_number for pair in changed}]
    assert left_out == stayed


def test_it_reads_as_diff_prints_it() -> None:
    old = [f"line {number}" for number in range(20)]
    new = [*old[:10], "new", *old[11:]]
    expected = list(difflib.unified_diff(old, new, "old", "new", lineterm=""))
    assert list(unified_diff("\n".join(old), "\n".join(new), "old", "new")) == expected


def test_lines_are_counted_and_moves_are_not() -> None:
    assert count_changes("a\nb\nc\n", "c\na\nd\n") == (1, 1)
    assert count_changes("", "a\na\n") == (2, 0)


def test_one_change_in_a_large_text_is_found_quickly() -> None:
    """300,000 lines of which most are the same: a plain difflib takes minutes."""
    old = "\n".join(" no shutdown" if number % 3 else f"interface {number}" for number in range(300_000))
    new = old.replace("interface 150000\n", "interface 150000\n description new\n")
    begin = time.monotonic()
    diff = list(unified_diff(old, new, "old", "new"))
    assert "+ description new" in diff
    assert time.monotonic() - begin < 5
