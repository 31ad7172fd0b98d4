"""The inventory as TOML: ``[defaults]``, ``[groups.NAME]``, ``[devices.NAME]`` and ``[sources.NAME]``."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from devicevault import names
from devicevault.errors import Fault
from devicevault.inventory.draft import Draft, layered, values_of
from devicevault.inventory.entry import DEVICE_KEYS, DefaultsEntry, DeviceEntry, FaultAt, GroupEntry
from devicevault.inventory.known import Known
from devicevault.nearest import did_you_mean
from devicevault.tomlfile import KeyPath, TomlDocument, parse_toml, read_text

if TYPE_CHECKING:
    from devicevault.inventory.sources import Source

_TABLES: Final = ("defaults", "groups", "devices", "sources")


@dataclass(frozen=True)
class Tables:
    """What a file says: its own devices, where others are known, and what all these inherit."""

    drafts: list[Draft]
    sources: list[Source]
    defaults: dict[str, Any]
    groups: dict[str, dict[str, Any]]
    known: Known
    faults: list[Fault]


def read_tables(
    path: Path,
    platforms: Collection[str],
    credentials: Collection[str] | None,
    groups: Collection[str],
    jumps: Collection[str] = (),
) -> Tables:
    """Every device of the file, and all that is wrong in it but for what shows only between devices.

    ``groups`` are those that are known besides the file's own. Raises :class:`ConfigurationError` when the file
    can't be read or is not TOML.
    """
    document = parse_toml(path, read_text(path, if_missing="create it, or set inventory.path"))
    reader = _TablesReader(document)
    known = Known(platforms, credentials, {*groups, *filter(names.is_group_name, reader.tables("groups"))}, jumps)
    return reader.read(known)


class _TablesReader:
    """Walks one file's tables and gathers its faults."""

    def __init__(self, document: TomlDocument) -> None:
        self._document = document
        self.faults: list[Fault] = list(document.duplicates)
        for key in document.data.keys() - set(_TABLES):
            fix = did_you_mean(key, _TABLES) or "there are [defaults], [groups.NAME], [devices.NAME] and [sources.NAME]"
            self._fault((key,), "does not belong here", fix)

    def read(self, known: Known) -> Tables:
        defaults = values_of(
            DefaultsEntry, self._document.data.get("defaults", {}), known, self._fault_at("defaults"), self.faults
        )
        groups = {group: self._group(group, table, known) for group, table in self.tables("groups").items()}
        by_group = {group: layered(defaults, values) for group, values in groups.items()}
        drafts = [
            self._device(name, table, known, defaults, by_group)
            for name, table in self.tables("devices").items()
            if not self._is_split(name, table)
        ]
        return Tables(drafts, self._sources(known), defaults, groups, known, self.faults)

    def tables(self, kind: str) -> dict[str, Any]:
        """The tables ``[KIND.NAME]`` by their names."""
        tables = self._document.data.get(kind, {})
        if isinstance(tables, dict):
            return tables
        fault = self._document.fault((kind,), "is not a table", f"write [{kind}.NAME]")
        if fault not in self.faults:
            self.faults.append(fault)
        return {}

    def _group(self, group: str, table: Any, known: Known) -> dict[str, Any]:
        if not names.is_group_name(group):
            fix = "small letters and digits, with single - or _ between them"
            self._fault(("groups", group), "can't be a group's name", fix)
        return values_of(GroupEntry, table, known, self._fault_at("groups", group), self.faults)

    def _is_split(self, name: str, table: Any) -> bool:
        """Whether a device's name has dots that TOML took for tables in tables; that is told then, and nothing else."""
        split = [path for path in _devices_in((name,), table) if len(path) > 1]
        for path in split:
            fix = f'write [devices."{".".join(path)}"]'
            self._fault(("devices", *path), "a device's name with dots in it stands in quotes", fix)
        return bool(split)

    def _device(
        self, name: str, table: Any, known: Known, defaults: dict[str, Any], by_group: dict[str, dict[str, Any]]
    ) -> Draft:
        fault_at = self._fault_at("devices", name)
        own = values_of(DeviceEntry, table, known, fault_at, self.faults)
        group = own.get("group", defaults.get("group", names.DEFAULT_GROUP))
        return Draft(name, layered(by_group.get(group, defaults), own), fault_at)

    def _sources(self, known: Known) -> list[Source]:
        tables = self.tables("sources")
        if not tables:
            return []
        # Only here: an inventory without sources needs neither HTTP nor all the rest of it.
        from devicevault.inventory.sources import declared

        folder = self._document.path.absolute().parent
        found = [
            declared(name, table, folder, known, self._fault_at("sources", name), self.faults)
            for name, table in tables.items()
        ]
        return [source for source in found if source is not None]

    def _fault(self, keys: KeyPath, problem: str, fix: str) -> None:
        self.faults.append(self._document.fault(keys, problem, fix))

    def _fault_at(self, *table: str) -> FaultAt:
        return functools.partial(_fault_in, self._document, table)


def _fault_in(document: TomlDocument, table: tuple[str, ...], key: str, problem: str, fix: str) -> Fault:
    return document.fault((*table, key) if key else table, problem, fix)


def _devices_in(path: tuple[str, ...], table: Any) -> Iterator[tuple[str, ...]]:
    """Where, in tables in tables, something is said of a device."""
    if isinstance(table, dict):
        if table.keys() & DEVICE_KEYS:
            yield path
        else:
            for key, inner in table.items():
                yield from _devices_in((*path, key), inner)
