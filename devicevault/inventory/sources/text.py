"""Records out of a text: JSON, YAML or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, Field

from devicevault.inventory.sources.failed import SourceFailed

#: What a source says of one device, by the source's own names.
Record: TypeAlias = dict[str, Any]

Format: TypeAlias = Literal["auto", "json", "yaml", "csv"]

_BY_ENDING: Final[dict[str, Format]] = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".csv": "csv", ".db": "csv"}


class Layout(BaseModel):
    """How a text holds records; a part of the table of a source that reads one."""

    format: Format = "auto"
    #: Where in JSON or YAML the list is, such as ``data.devices``.
    records: str = ""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    #: Names of the columns of a CSV without a heading.
    columns: list[str] = []

    def parse(self, raw: bytes, name: str = "", media_type: str = "") -> list[Record]:
        """Every record of ``raw``, whose format its media type tells, or the ending of its name, or its beginning.

        Raises :class:`SourceFailed`.
        """
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SourceFailed("what it tells is not UTF-8 text") from None
        kind = self.format if self.format != "auto" else _guessed(name, media_type, text)
        if kind == "csv":
            return _records_of_columns(text, self.delimiter, self.columns)
        data = from_json(text) if kind == "json" else from_yaml(text)
        return records_of(at_path(data, self.records) if self.records else data)


def from_json(text: str) -> Any:
    """The data of a JSON text. Raises :class:`SourceFailed`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceFailed(f"what it tells is not JSON: {error}"[:200]) from None


def from_yaml(text: str) -> Any:
    """The data of a YAML text; a value with a tag of some program's own is ``None``. Raises :class:`SourceFailed`."""
    import yaml

    class Loader(yaml.CSafeLoader):
        """As safe as the one it stems from: what it does not know, it leaves out."""

    Loader.add_multi_constructor("!", lambda *_: None)
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a subclass of the safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise SourceFailed(f"what it tells is not YAML: {getattr(error, 'problem', None) or error}{place}") from None


def at_path(data: Any, path: str) -> Any:
    """What stands at a dotted path; from a list, what stands there in each of its items. ``None`` for nothing.

    A name with dots in it, as a column may have, comes first.
    """
    if isinstance(data, dict) and path in data:
        return data[path]
    for step in path.split("."):
        if isinstance(data, list):
            data = [item.get(step) for item in data if isinstance(item, dict)]
        elif isinstance(data, dict):
            data = data.get(step)
        else:
            return None
    return data


def records_of(data: Any) -> list[Record]:
    """A list of objects, or an object of objects by their names. Raises :class:`SourceFailed`."""
    if isinstance(data, list) and all(isinstance(item, dict) for item in data):
        return data
    if isinstance(data, dict) and data and all(isinstance(item, dict) for item in data.values()):
        return [{"name": name, **item} for name, item in data.items()]
    told = {list: "a list of something else", dict: "one object", type(None): "nothing"}.get(type(data), "a value")
    raise SourceFailed(f"a list of devices was expected, and {told} came", 'tell where the list is: records = "PATH"')


def _guessed(name: str, media_type: str, text: str) -> Format:
    kinds: tuple[Format, ...] = ("json", "yaml", "csv")
    told = next((kind for kind in kinds if kind in media_type), None) or _BY_ENDING.get(PurePath(name).suffix.lower())
    return told or ("json" if text.lstrip()[:1] in ("{", "[") else "yaml")


def _records_of_columns(text: str, delimiter: str, columns: Sequence[str]) -> list[Record]:
    lines: Iterable[str] = (line for line in io.StringIO(text) if line.strip() and not line.lstrip().startswith("#"))
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error as error:
        raise SourceFailed(f"what it tells is not CSV: {error}") from None
    names = columns or (rows.pop(0) if rows else [])
    if rows and len(names) > 1 and all(len(row) == 1 for row in rows):
        raise SourceFailed(f"no line has the delimiter {delimiter!r}", "set delimiter to the text's own")
    return [dict(zip(names, row, strict=False)) for row in rows]
