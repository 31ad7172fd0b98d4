"""Tables on narrow terminals: where the last column would be a ribbon of words, its sentences go below their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.padding import Padding
from rich.text import Text

from devicevault.cli.lines import GAP

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: What is shorter than this is no sentence, and a column narrower than this is no place for one.
SENTENCE_MIN: Final = 40
INDENT: Final = 4


def leaves_too_little(grid: Table, out: Console) -> bool:
    """Whether the last column holds sentences, and it alone is what does not fit."""
    *others, last = _widths(grid, out)
    taken = sum(width + GAP for width in others)
    return last >= SENTENCE_MIN and taken <= out.width < taken + SENTENCE_MIN


def print_sentences_below(grid: Table, out: Console) -> None:
    """Print each row on a line, and below it, indented, what its last cell says if that is too long for the line."""
    widths = _widths(grid, out)[:-1]
    room = out.width - sum(width + GAP for width in widths)
    *headings, last = (out.render_str(str(column.header), style="table.header") for column in grid.columns)
    out.print(_line([*headings, last] if last.cell_len <= room else headings, widths))
    out.print("─" * out.width)
    for *cells, sentence in _rows(grid, out):
        fits = sentence.cell_len <= room
        out.print(_line([*cells, sentence] if fits else cells, widths))
        if not fits:
            out.print(Padding(sentence, (0, 0, 0, INDENT)))


def _rows(grid: Table, out: Console) -> list[list[Text]]:
    columns = [[_text(cell, out) for cell in column.cells] for column in grid.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _widths(grid: Table, out: Console) -> list[int]:
    headings = [Text(str(column.header)) for column in grid.columns]
    return [max(cell.cell_len for cell in column) for column in zip(headings, *_rows(grid, out), strict=True)]


def _text(cell: object, out: Console) -> Text:
    return cell.copy() if isinstance(cell, Text) else out.render_str(str(cell))


def _line(cells: list[Text], widths: list[int]) -> Text:
    line = Text(no_wrap=True)
    for cell, width in zip(cells, [*widths, 0], strict=False):
        line.append_text(cell)
        line.append(" " * max(0, width + GAP - cell.cell_len))
    line.rstrip()
    return line
