"""Differences as commands print them: one text above the other, or side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from devicevault.cli.console import console

if TYPE_CHECKING:
    from rich.text import Text

    from devicevault.store.difference import Pair

STYLES: Final[Mapping[str, str]] = {"+": "green", "-": "red", "@": "cyan"}


def print_unified(lines: Sequence[str]) -> None:
    """Print a unified difference, the first two lines of which name the texts."""
    out = console()
    for index, line in enumerate(lines):
        out.print(line, style="bold" if index < 2 else STYLES.get(line[:1], ""), soft_wrap=True)


def print_side_by_side(old: str, new: str, old_name: str, new_name: str) -> None:
    """Print where two texts differ in two columns; a line too long for its column goes on below."""
    from rich.table import Table

    from devicevault.store.difference import side_by_side

    out = console()
    grid = Table(box=None, expand=True, pad_edge=False, show_edge=False, header_style="bold")
    for name in (old_name, new_name):
        grid.add_column("", justify="right", no_wrap=True, style="dim")
        grid.add_column(name, ratio=1, overflow="fold")
    for index, place in enumerate(side_by_side(old, new)):
        if index:
            grid.add_row("", "⋯", "", "⋯", style="cyan")
        for pair in place:
            grid.add_row(*_cells(pair))
    out.print(grid)


def _cells(pair: Pair) -> tuple[str, Text, str, Text]:
    from rich.text import Text

    from devicevault.cli.console import visible

    def cell(line: str | None, style: str) -> Text:
        return Text(visible(line or "").expandtabs(), style=style if pair.is_changed and line is not None else "")

    return (
        str(pair.old_number or ""),
        cell(pair.old, STYLES["-"]),
        str(pair.new_number or ""),
        cell(pair.new, STYLES["+"]),
    )
