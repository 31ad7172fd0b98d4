"""Which line each table and key of a TOML text stands on, and which are there twice.

The parser (tomli) tells neither. This scanner knows just enough TOML to step from statement to statement: it
leaves judging the text to the parser and never fails, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import tomli

#: The parts of a dotted key; after an array of tables, the index of its element.
KeyPath: TypeAlias = tuple[str | int, ...]

# All repetitions are possessive (``*+``) or atomic: hostile text must not make them backtrack. Those of a group are
# atomic, ``(?>(?:...)*)``, since Debian 12's Python 3.11.2 matches ``(?:...)*+`` wrongly (CPython issue 106052).
_PART: Final = r"""(?:[A-Za-z0-9_-]++|"(?>(?:[^"\\\n]|\\[^\n])*)"|'[^'\n]*+')"""
_KEY: Final = rf"{_PART}(?>(?:[ \t]*+\.[ \t]*+{_PART})*)"
_STATEMENT: Final = re.compile(
    rf"[ \t]*+(?:\[(?P<array>\[)?[ \t]*+(?P<table>{_KEY})[ \t]*+\](?(array)\])|(?P<key>{_KEY})[ \t]*+=)"
)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_PARTS: Final = re.compile(_PART)
_REST_OF_LINE: Final = re.compile(r"[^\n]*\n?")
#: The value of most lines: a string or a plain word, perhaps with a comment.
_SIMPLE_VALUE: Final = re.compile(
    r"""[ \t]*+(?:"(?!"")[^"\\\n]*+"|'(?!'')[^'\n]*+'|[^"'\[{\#\n]*+)[ \t]*+(?:\#[^\n]*+)?(?:\n|\Z)"""
)
#: A piece of any other value. A string that is never closed ends with the line, or with the text.
_VALUE_TOKEN: Final = re.compile(
    r'"""(?>(?:[^"\\]|\\.|"(?!""))*)(?:"{3,5}|\\?\Z)'
    r"|'''(?>(?:[^']|'(?!''))*)(?:'{3,5}|\Z)"
    r'|"(?>(?:[^"\\\n]|\\[^\n])*)"?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+"
    r"|[^\"'\#\[\]{}\n]++"
    r"|.",
    re.DOTALL,
)
_BRACKETS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


class Statement(NamedTuple):
    """One table header or one assignment: ``text[start:end]``, whole lines."""

    path: KeyPath
    line: int
    start: int
    end: int
    is_header: bool


class Duplicate(NamedTuple):
    """A statement whose path an earlier line has; that of a table reaches to the next table."""

    statement: Statement
    first_line: int


def statements(text: str) -> Iterator[Statement]:
    """Every statement in order; lines that are none are passed over."""
    arrays: dict[KeyPath, int] = {}
    table: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        start = position
        match = _STATEMENT.match(text, position)
        if match is None:
            position = _end_of_line(text, position)
        elif (key := match["key"]) is not None:
            position = _end_of_value(text, match.end())
            yield Statement((*table, *_parts(key)), line, start, position, is_header=False)
        else:
            table = _table_path(_parts(match["table"]), arrays, opens_element=match["array"] is not None)
            position = _end_of_line(text, match.end())
            yield Statement(table, line, start, position, is_header=True)
        line += text.count("\n", start, position)


def first_lines(text: str) -> dict[KeyPath, int]:
    """The line on which each table and key stands first; a table that has no header, where something in it does."""
    lines: dict[KeyPath, int] = {}
    for statement in statements(text):
        for length in range(len(statement.path), 0, -1):
            lines.setdefault(statement.path[:length], statement.line)
    return lines


def duplicates(text: str) -> list[Duplicate]:
    """Every table and key that is there a second time; keys inside a second table are not counted again."""
    seen: dict[KeyPath, int] = {}
    found: list[Duplicate] = []
    inside_duplicate = False
    for statement in statements(text):
        if statement.is_header:
            inside_duplicate = statement.path in seen
        elif inside_duplicate:
            found[-1] = found[-1]._replace(statement=found[-1].statement._replace(end=statement.end))
            continue
        first_line = seen.setdefault(statement.path, statement.line)
        if first_line != statement.line:
            found.append(Duplicate(statement, first_line))
    return found


def _end_of_line(text: str, position: int) -> int:
    rest = _REST_OF_LINE.match(text, position)
    return rest.end() if rest else len(text)


def _end_of_value(text: str, position: int) -> int:
    """The position after the value that begins here and the line end that closes it."""
    simple = _SIMPLE_VALUE.match(text, position)
    if simple is not None:
        return simple.end()
    depth = 0
    while (token := _VALUE_TOKEN.match(text, position)) is not None:
        position = token.end()
        depth += _BRACKETS.get(token[0], 0)
        if token[0] == "\n" and depth <= 0:
            break
    return position


def _parts(key: str) -> tuple[str, ...]:
    if _BARE_KEY.fullmatch(key):
        return (key,)
    return tuple(_unquoted(part) for part in _PARTS.findall(key))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return str(tomli.loads(f"part = {part}")["part"])
    except tomli.TOMLDecodeError:
        return part


def _table_path(parts: tuple[str, ...], arrays: dict[KeyPath, int], *, opens_element: bool) -> KeyPath:
    """The path a header means: under an array of tables, that of its newest element."""
    path: KeyPath = ()
    for part in parts[:-1]:
        path = (*path, part)
        if path in arrays:
            path = (*path, arrays[path])
    path = (*path, parts[-1])
    if opens_element:
        arrays[path] = arrays.get(path, -1) + 1
    return (*path, arrays[path]) if path in arrays else path
