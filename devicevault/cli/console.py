"""How commands speak: tables and colours for people, JSON for programs, faults on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Set
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from devicevault.errors import ConfigurationError, DeviceVaultError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

#: Columns where no terminal tells its own; one table row stays one line for ``grep``.
WIDE: Final = 1000
PLAIN_WIDTH: Final = 120

#: Control characters made visible: what a device says must not move the cursor or rename the window.
_VISIBLE: Final = (
    {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)

STATUS_STYLES: Final[Mapping[str, str]] = {
    "success": "green",
    "queued": "cyan",
    "skipped": "yellow",
    "cancelled": "yellow",
    "expired": "yellow",
    "suspect": "bold yellow",
    "failure": "bold red",
    "lost": "bold red",
}


def console() -> Console:
    """The terminal (or file, or pipe) a command writes its answer to.

    Colours on a terminal only, and never where ``NO_COLOR`` is set. Square brackets are text, not markup, and
    control characters are made visible: names and messages of devices can do no harm. For colours use
    ``style=`` and ``rich.text.Text``.
    """
    return _console(stderr=False, width=PLAIN_WIDTH)


def errors() -> Console:
    """As :func:`console`, on stderr: faults, warnings and progress."""
    return _console(stderr=True, width=PLAIN_WIDTH)


def visible(text: str) -> str:
    """``text`` with its control characters shown instead of obeyed; line ends and tabs stay."""
    return text if text.isascii() and text.isprintable() else text.translate(_VISIBLE)


def table(*headings: str) -> Table:
    """An empty table in the house style; fill it with ``add_row`` and print it with :func:`print_table`."""
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    return grid


def print_table(grid: Table) -> None:
    """Print a table: fitted to a terminal, but one line a row into a file or a pipe.

    Where a terminal leaves too little room for the sentences of the last column, they go below their rows.
    """
    from devicevault.cli.lines import lines_of
    from devicevault.cli.narrow import leaves_too_little, print_sentences_below

    out = _console(stderr=False, width=WIDE)
    lines = lines_of(grid, out)
    if lines is not None:
        # A terminal of another encoding shows a question mark for what it lacks.
        out.file.write("\n".join([*lines, ""]).encode(out.encoding, "replace").decode(out.encoding))
    elif leaves_too_little(grid, out):
        print_sentences_below(grid, out)
    elif out.is_terminal:
        out.print(grid)
    else:
        with out.capture() as plain:
            out.print(grid)
        click.echo("\n".join(line.rstrip() for line in plain.get().splitlines()))


def print_json(data: object) -> None:
    """Print data as JSON on stdout. Times become ISO 8601, paths strings, sets lists, messages objects."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    click.echo(json.dumps(data, indent=2, default=_jsonable, ensure_ascii="utf" not in encoding))


def status_text(status: str) -> Text:
    """A collection's status in its colour."""
    from rich.text import Text

    return Text(status, style=STATUS_STYLES.get(status, ""))


def say(out: Console, sentence: str | Text, style: str = "") -> None:
    """Print a sentence: broken between words on a terminal, one line into a file or a pipe."""
    out.print(sentence, style=style, soft_wrap=not out.is_terminal)


def report(error: DeviceVaultError) -> None:
    """Print an error on stderr: a line for each fault."""
    from rich.text import Text

    lines = [str(fault) for fault in error.faults] if isinstance(error, ConfigurationError) else [str(error)]
    out = errors()
    for line in lines:
        say(out, Text.assemble(("error:", "bold red"), " ", visible(line)))


def _console(*, stderr: bool, width: int) -> Console:
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            # rich would exit with 1, which says that devices failed.
            raise BrokenPipeError

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)

    stream = sys.stderr if stderr else sys.stdout
    is_plain = not stream.isatty() and "COLUMNS" not in os.environ
    return Output(stderr=stderr, markup=False, highlight=False, emoji=False, width=width if is_plain else None)


def _jsonable(value: object) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Set):
        return sorted(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")
