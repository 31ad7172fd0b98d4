"""The inventory as text in columns: CSV, or the ``router.db`` of Oxidized and RANCID."""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from devicevault.errors import ConfigurationError, Fault
from devicevault.inventory import foreign
from devicevault.inventory.convert import to_entry, with_options
from devicevault.inventory.draft import Draft, values_of
from devicevault.inventory.entry import DeviceEntry
from devicevault.inventory.known import Known
from devicevault.settings import InventorySettings
from devicevault.tomlfile import dotted, read_text


class _Row(NamedTuple):
    line: int
    cells: list[str]


def read_columns(
    path: Path,
    layout: InventorySettings,
    platforms: Collection[str],
    credentials: Collection[str] | None,
    jumps: Collection[str] = (),
) -> tuple[list[Draft], list[Fault]]:
    """Every device of the file, and all that is wrong in it but for what shows only between devices.

    A group needs no declaration here: the file is one. Raises :class:`ConfigurationError` when the file can't be
    read or does not have these columns.
    """
    rows = list(_rows(read_text(path, if_missing="create it, or set inventory.path"), layout.csv_delimiter))
    if rows and _is_heading(rows[0], layout.csv_columns):
        del rows[0]
    _check_delimiter(path, rows, layout)
    reader = _ColumnsReader(path, layout, Known(platforms, credentials, None, jumps))
    return [draft for row in rows if (draft := reader.draft(row)) is not None], reader.faults


class _ColumnsReader:
    """Turns one file's rows into devices and gathers their faults."""

    def __init__(self, path: Path, layout: InventorySettings, known: Known) -> None:
        self._path = path
        self._layout = layout
        self._known = known
        self._first_lines: dict[str, int] = {}
        self.faults: list[Fault] = []

    def draft(self, row: _Row) -> Draft | None:
        """The row's device; ``None`` for a row that names none, or one that is already there."""
        cells = {
            column: cell
            for column, cell in zip(self._layout.csv_columns, row.cells, strict=False)
            if column != "-" and cell
        }
        name = cells.pop("name", "")
        fault_at = functools.partial(_fault_in, self._path, row.line, name)
        if not name:
            self.faults.append(
                fault_at("name", "the line names no device", "fill the column, or put # before the line")
            )
            return None
        first_line = self._first_lines.setdefault(name, row.line)
        if first_line != row.line:
            problem = f"this device is already there, on line {first_line}"
            self.faults.append(fault_at("", problem, "remove or rename one of the two"))
            return None
        table = with_options({column: self._value(column, cell) for column, cell in cells.items()})
        return Draft(name, values_of(DeviceEntry, table, self._known, fault_at, self.faults), fault_at)

    def _value(self, column: str, cell: str) -> Any:
        match column:
            case "platform":
                return self._platform(cell)
            case "group":
                return self._layout.csv_groups.get(cell, cell)
            case _:
                return to_entry(column, cell)

    def _platform(self, cell: str) -> str:
        return foreign.platform(self._layout.csv_platforms.get(cell, cell), self._known.platforms)


def _rows(text: str, delimiter: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip(" \t" if delimiter != "\t" else " ")
        if stripped and not stripped.startswith("#"):
            yield _Row(number, [cell.strip() for cell in _cells(stripped, delimiter)])


def _cells(line: str, delimiter: str) -> list[str]:
    # With a colon it is a router.db, which knows no quotes: one in a password column is a character like others.
    if '"' not in line or delimiter == ":":
        return line.split(delimiter)
    try:
        return next(csv.reader([line.replace("\r", " ")], delimiter=delimiter))
    except csv.Error:
        return line.split(delimiter)


def _is_heading(row: _Row, columns: Collection[str]) -> bool:
    return [cell.casefold() for cell in row.cells] == list(columns)


def _check_delimiter(path: Path, rows: list[_Row], layout: InventorySettings) -> None:
    if rows and len(layout.csv_columns) > 1 and all(len(row.cells) == 1 for row in rows):
        problem = f"no line has the delimiter {layout.csv_delimiter!r}"
        raise ConfigurationError(Fault(str(path), problem, "set inventory.csv_delimiter to the file's own"))


def _fault_in(path: Path, line: int, name: str, key: str, problem: str, fix: str) -> Fault:
    return Fault(str(path), problem, fix, dotted(tuple(filter(None, (name, key)))), line)
