"""``router.db``: a device a line, with fields that the program's own settings give a meaning."""

from __future__ import annotations

import csv
import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from devicevault.inventory.importing.gathered import ImportFailed

Rows: TypeAlias = list[list[str]]

_DELIMITERS: Final = (";", ",", ":", "|", "\t")
#: A column is what most of its cells look like.
_MOST: Final = 0.6


def read_lines(path: Path) -> list[str]:
    """The lines that say something. Raises :class:`ImportFailed`."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ImportFailed(f"{path} can't be read: {error.strerror}") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def split(lines: Sequence[str], delimiter: str | re.Pattern[str]) -> Rows:
    """The fields of each line."""
    if isinstance(delimiter, re.Pattern):
        return [[cell.strip() for cell in delimiter.split(line)] for line in lines]
    if delimiter == ":":  # as in columns.py: there are no quotes in such a file
        return [[cell.strip() for cell in line.split(":")] for line in lines]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]


def likely_delimiter(lines: Sequence[str]) -> str:
    """The sign that most lines have equally often."""
    found = {sign: Counter(line.count(sign) for line in lines if sign in line) for sign in _DELIMITERS}
    return max(_DELIMITERS, key=lambda sign: max(found[sign].values(), default=0))


def likely_columns(rows: Rows, models: Collection[str]) -> list[str]:
    """What the columns hold, in the forms that are usual; ``-`` for one that is not to be read.

    ``models`` are the names a platform may have. A single column behind the model is the group; of several, user and
    password are among them, and none is taken. Raises :class:`ImportFailed` where no column holds models.
    """
    width = max((len(row) for row in rows), default=0)
    model = max(range(1, width), key=lambda n: _share(rows, n, lambda cell: cell.casefold() in models), default=0)
    if not model or not _share(rows, model, lambda cell: cell.casefold() in models):
        raise ImportFailed(
            "no column of the file holds models that are known",
            "name the columns: --columns name,address,platform,group",
        )
    columns = ["-"] * width
    columns[0], columns[model] = "name", "platform"
    if (address := next((n for n in range(1, width) if _share(rows, n, _is_address) > _MOST), 0)) and address != model:
        columns[address] = "address"
    rest = [n for n in range(1, width) if columns[n] == "-"]
    if rest == [width - 1] and rest[0] > model:
        columns[rest[0]] = "group"
    return columns


def _share(rows: Rows, column: int, is_such: object) -> float:
    cells = [row[column] for row in rows if len(row) > column and row[column]]
    return sum(bool(is_such(cell)) for cell in cells) / len(cells) if cells and callable(is_such) else 0.0


def _is_address(cell: str) -> bool:
    try:
        ipaddress.ip_address(cell)
    except ValueError:
        return False
    return True
