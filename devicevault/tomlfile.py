"""Read a TOML file so that a mistake in it can be shown at its line.

The scanner for lines and duplicates runs only when a line is asked for or the parser refuses the file: a good
file costs the parser's time alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tomli

from devicevault import tomlscan
from devicevault.errors import ConfigurationError, Fault
from devicevault.tomlscan import Duplicate, KeyPath

__all__ = ["KeyPath", "TomlDocument", "dotted", "parse_toml", "read_text", "read_toml"]

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")

#: Besides its own error, the parser lets Python's limits on digits and depth through.
_REFUSALS: Final = (ValueError, RecursionError)

#: What the parser's commonest complaints mean to the person who wrote the file.
_FIXES: Final = {
    "Invalid value": "text stands in double quotes; true and false are written small",
    "Unterminated string": "close the text with the quote it began with",
    "Unclosed array": "close the list with ]",
    "Unescaped '\\'": "write \\\\ for a backslash, or put the text in single quotes",
    "Expected '=' after a key": "write KEY = VALUE; a key with spaces or other signs stands in double quotes",
    "Expected newline": "one KEY = VALUE on each line; text stands in double quotes",
    "Cannot overwrite a value": "a name is either one value or a table, and is there only once",
    "Cannot declare": "a name is either one value or a table, and is there only once",
    "Invalid statement": "a line is KEY = VALUE, [TABLE] or # COMMENT",
}


@dataclass(frozen=True)
class TomlDocument:
    """A TOML file's data, and the lines its keys stand on."""

    path: Path
    data: dict[str, Any]
    text: str = field(repr=False)
    #: Tables and keys that are there twice; ``data`` holds the first of each.
    duplicates: tuple[Fault, ...] = ()

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return tomlscan.first_lines(self.text)

    def line_of(self, *keys: str | int) -> int | None:
        """The 1-based line of a key, or of the nearest table around it; ``None`` when neither is there."""
        for length in range(len(keys), 0, -1):
            line = self._lines.get(keys[:length])
            if line is not None:
                return line
        return None

    def fault(self, keys: KeyPath, problem: str, fix: str = "") -> Fault:
        """A fault at this key of this file."""
        return Fault(str(self.path), problem, fix, dotted(keys), self.line_of(*keys))


def read_toml(path: Path) -> TomlDocument:
    """The file's data. Raises :class:`ConfigurationError` with every duplicate, or with the first syntax error."""
    document = parse_toml(path, read_text(path))
    if document.duplicates:
        raise ConfigurationError(document.duplicates)
    return document


def read_text(path: Path, *, if_missing: str = "create it, or set another path") -> str:
    """The file's text with ``\\n`` line ends. Raises :class:`ConfigurationError` naming what stands in the way."""
    source = str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(Fault(source, "there is no such file", if_missing)) from None
    except PermissionError:
        fix = "run as a user who may, such as a member of the file's group"
        raise ConfigurationError(Fault(source, "this user may not read it", fix)) from None
    except OSError as error:
        raise ConfigurationError(Fault(source, f"can't be read: {error.strerror}")) from None
    try:
        # Windows editors put a byte order mark in front.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(Fault(source, "is not UTF-8 text", "save it as UTF-8", line=line)) from None
    return text.replace("\r\n", "\n")


def parse_toml(path: Path, text: str) -> TomlDocument:
    """``text`` as read from ``path``, its duplicates set aside for a caller who gathers more faults.

    Raises :class:`ConfigurationError` for a syntax error, with the duplicates found besides.
    """
    try:
        return TomlDocument(path, tomli.loads(text), text)
    except _REFUSALS as error:
        first: Exception = error
    duplicates = tomlscan.duplicates(text)
    faults = tuple(_duplicate_fault(path, duplicate) for duplicate in duplicates)
    if not faults:
        raise ConfigurationError(_syntax_fault(path, first)) from None
    try:
        return TomlDocument(path, tomli.loads(_without(text, duplicates)), text, faults)
    except _REFUSALS as error:
        raise ConfigurationError((*faults, _syntax_fault(path, error))) from None


def dotted(keys: KeyPath) -> str:
    """``devices.core-sw1.tags``, with quotes around a part that needs them."""
    return ".".join(
        part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in map(str, keys)
    )


def _duplicate_fault(path: Path, duplicate: Duplicate) -> Fault:
    statement, first_line = duplicate
    problem = f"this {'table' if statement.is_header else 'key'} is already there, on line {first_line}"
    return Fault(str(path), problem, "remove or rename one of the two", dotted(statement.path), statement.line)


def _syntax_fault(path: Path, error: Exception) -> Fault:
    if not isinstance(error, tomli.TOMLDecodeError):
        return Fault(str(path), "a number has too many digits, or tables are nested too deep")
    fix = next((fix for start, fix in _FIXES.items() if error.msg.startswith(start)), "")
    return Fault(str(path), f"not TOML: {error.msg}", fix, line=error.lineno)


def _without(text: str, duplicates: list[Duplicate]) -> str:
    """The text with the duplicates blanked; line numbers stay."""
    kept: list[str] = []
    position = 0
    for statement, _ in duplicates:
        kept += (text[position : statement.start], "\n" * text.count("\n", statement.start, statement.end))
        position = statement.end
    return "".join((*kept, text[position:]))
