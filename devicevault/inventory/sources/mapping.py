"""From a source's record to a device's table in the inventory."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from devicevault.inventory import foreign
from devicevault.inventory.convert import OPTION, to_entry, to_tags, with_options
from devicevault.inventory.entry import DeviceEntry
from devicevault.inventory.sources.text import Record, at_path

#: Where in a record each key of a device stands; of several paths, the first that leads to something.
Fields: TypeAlias = Mapping[str, str | list[str]]

#: What the records of most sources call a device's keys: the same as the inventory.
PLAIN: Final[Fields] = {key: key for key in ("name", *DeviceEntry.model_fields)}
#: What a device's keys are called where they stand among other programs' names: ``devicevault_jump``.
PREFIX: Final = "devicevault_"

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
        fields = {key: key for key in record if str(key).startswith(OPTION)} | dict(self.fields)
        table = {key: value for key in fields if is_told(key, value := self._value(fields[key], key, record))}
        for key, names in (("platform", self.platforms), ("group", self.groups)):
            if isinstance(table.get(key), str):
                table[key] = mapped(table[key], names)
                if table[key] == NOT_OURS:
                    return None
        if isinstance(table.get("platform"), str):
            table["platform"] = foreign.platform(table["platform"], self.known_platforms)
        return with_options(table)

    def _value(self, paths: str | list[str], key: str, record: Record) -> Any:
        found = (at_path(record, path) for path in ([paths] if isinstance(paths, str) else paths))
        if key == "tags":
            return _gathered(found)
        # A list that was emptied, as NetBox' selections may be, says nothing: going straight has a sign of its own.
        value = next((value for value in found if value not in (None, "", [])), None)
        return to_entry(key, value)


def is_told(key: str, value: Any) -> bool:
    """Whether a record says anything with this value: no jump hosts at all are a way of their own."""
    return value not in (None, "") and (value != [] or key == "jump")


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
