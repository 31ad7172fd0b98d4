"""From a source's record to a device's table in the inventory."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from devicevault.inventory import foreign
from devicevault.inventory.convert import to_address, to_enabled, to_port, to_seconds, to_tags, to_text
from devicevault.inventory.entry import DeviceEntry
from devicevault.inventory.sources.text import Record, at_path

#: Where in a record each key of a device stands; of several paths, the first that leads to something.
Fields: TypeAlias = Mapping[str, str | list[str]]

_CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": to_text,
    "address": to_address,
    "port": to_port,
    "platform": to_text,
    "group": to_text,
    "enabled": to_enabled,
    "tags": to_tags,
    "deadline_s": to_seconds,
    "algorithms": to_text,
    "id": to_text,
}

#: What the records of most sources call a device's keys: the same as the inventory.
PLAIN: Final[Fields] = {key: key for key in ("name", *DeviceEntry.model_fields)}

#: In ``platforms`` and ``groups``: such devices are somebody else's.
NOT_OURS: Final = "-"


@dataclass(frozen=True)
class RecordMapping:
    """How the records of one source become devices."""

    fields: Fields
    #: The source's own names, or patterns of them, and what stands for them here; the first that fits counts.
    platforms: Mapping[str, str]
    groups: Mapping[str, str]
    known_platforms: Collection[str]

    def table(self, record: Record) -> dict[str, Any] | None:
        """The device's table with its ``name``; ``None`` for a device that is not ours."""
        table = {key: value for key in self.fields if (value := self._value(key, record)) not in (None, "", [])}
        for key, names in (("platform", self.platforms), ("group", self.groups)):
            if isinstance(table.get(key), str):
                table[key] = mapped(table[key], names)
                if table[key] == NOT_OURS:
                    return None
        if isinstance(table.get("platform"), str):
            table["platform"] = foreign.platform(table["platform"], self.known_platforms)
        return table

    def _value(self, key: str, record: Record) -> Any:
        paths = self.fields[key]
        found = (at_path(record, path) for path in ([paths] if isinstance(paths, str) else paths))
        if key == "tags":
            return _gathered(found)
        value = next((value for value in found if value not in (None, "")), None)
        return _CONVERT[key](value) if key in _CONVERT else value


def mapped(word: str, names: Mapping[str, str]) -> str:
    """What ``names`` has for ``word``; the word itself where it has nothing."""
    if word in names:
        return names[word]
    return next((name for pattern, name in names.items() if fnmatch.fnmatchcase(word, pattern)), word)


def _gathered(found: Iterable[Any]) -> list[Any]:
    tags: list[Any] = []
    for value in found:
        words = to_tags(value)
        tags += words if isinstance(words, list) else [] if words is None else [words]
    return [tag for n, tag in enumerate(tags) if tag not in tags[:n] and tag not in (None, "")]
