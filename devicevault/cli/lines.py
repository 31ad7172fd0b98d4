"""Tables whose rows fit on one line each: as rich would print them, at a tenth of its time.

rich lays out every cell as a paragraph, which takes it most of ten seconds for the ten thousand devices of ``status``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text

from devicevault.cli.console import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table

#: Columns between two of a table's own, as ``box.SIMPLE_HEAD`` has them.
GAP: Final = 3


def lines_of(grid: Table, out: Console) -> list[str] | None:
    """The table, a line for each row; ``None`` where that needs more columns than ``out`` has, or a cell has lines.

    Styles become escape sequences where ``out`` is a terminal, and vanish elsewhere.
    """
    columns = [_Column(column, out) for column in grid.columns]
    width = sum(column.width for column in columns) + GAP * (len(columns) - 1)
    if width > out.width or any(column.has_paragraphs for column in columns):
        return None
    heading, *rows = ((" " * GAP).join(row).rstrip() for row in zip(*(one.padded() for one in columns), strict=True))
    return [heading, ("-" if out.options.ascii_only else "─") * width, *rows]


class _Column:
    """One column's heading and cells."""

    def __init__(self, column: Column, out: Console) -> None:
        self._is_right = column.justify == "right"
        self._in_colours = _painter(out)
        heading = Text(str(column.header), style="table.header")
        self._cells = [heading, *(cell if isinstance(cell, Text) else visible(str(cell)) for cell in column.cells)]
        texts = [cell.plain if isinstance(cell, Text) else cell for cell in self._cells]
        self.has_paragraphs = any("\n" in text or "\t" in text for text in texts)
        self._widths = [len(text) if text.isascii() else cell_len(text) for text in texts]
        self.width = max(self._widths)

    def padded(self) -> list[str]:
        return [
            self._beside(cell if isinstance(cell, str) else self._in_colours(cell), " " * (self.width - width))
            for cell, width in zip(self._cells, self._widths, strict=True)
        ]

    def _beside(self, cell: str, blanks: str) -> str:
        return blanks + cell if self._is_right else cell + blanks


def _painter(out: Console) -> Callable[[Text], str]:
    """What turns styles into ``out``'s escape sequences; the few texts a column has colours for are asked for once."""
    painted: dict[tuple[str, str, str], str] = {}

    def paint(cell: Text) -> str:
        key = (cell.plain, str(cell.style), str(cell.spans))
        if key not in painted:
            with out.capture() as capture:
                out.print(cell, end="", soft_wrap=True)
            painted[key] = capture.get()
        return painted[key]

    return paint
