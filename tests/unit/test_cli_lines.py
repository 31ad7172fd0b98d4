"""Tables printed line by line look as rich would print them."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from devicevault.cli.console import table
from devicevault.cli.lines import lines_of

WORDS = st.text(st.sampled_from("aB7 ·漢é[]"), max_size=12).map(str.strip)
STYLES = st.sampled_from(["", "bold red", "dim"])
CELLS = WORDS | st.builds(Text, WORDS, style=STYLES)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6)


def printed_by_rich(rows: list[tuple[str | Text, ...]], *, is_right: bool, out: Console) -> list[str]:
    with out.capture() as capture:
        out.print(filled(rows, is_right=is_right))
    return [line.rstrip() for line in capture.get().splitlines()]


def filled(rows: list[tuple[str | Text, ...]], *, is_right: bool) -> Table:
    grid = table("Device", "Revisions", "Why")
    if is_right:
        grid.columns[1].justify = "right"
    for row in rows:
        grid.add_row(*row)
    return grid


@given(rows=ROWS, is_right=st.booleans())
def test_in_a_pipe_it_is_what_rich_prints(rows: list[tuple[str | Text, ...]], is_right: bool) -> None:
    out = Console(file=io.StringIO(), width=200, markup=False, highlight=False, emoji=False)
    assert lines_of(filled(rows, is_right=is_right), out) == printed_by_rich(rows, is_right=is_right, out=out)


@given(rows=ROWS)
def test_on_a_terminal_the_styles_are_the_same(rows: list[tuple[str | Text, ...]]) -> None:
    out = Console(file=io.StringIO(), width=200, markup=False, highlight=False, emoji=False, force_terminal=True)
    ours, richs = lines_of(filled(rows, is_right=False), out), printed_by_rich(rows, is_right=False, out=out)
    assert ours is not None
    assert [characters(line) for line in ours] == [characters(line) for line in richs]


def characters(line: str) -> list[tuple[str, str]]:
    """What is to be seen of a line, each with its style; rich also colours the blanks that fill a cell."""
    text = Text.from_ansi(line)
    styles = {at: str(span.style) for span in text.spans for at in range(span.start, span.end)}
    return [(character, styles.get(at, "")) for at, character in enumerate(text.plain) if character != " "]


def test_what_does_not_fit_on_lines_is_left_to_rich() -> None:
    out = Console(file=io.StringIO(), width=20)
    assert lines_of(filled([("a" * 20, "b", "c")], is_right=False), out) is None
    assert lines_of(filled([("a", "b", "c\nd")], is_right=False), Console(file=io.StringIO(), width=200)) is None
