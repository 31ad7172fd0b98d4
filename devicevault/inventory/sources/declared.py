"""The sources an inventory declares, checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from devicevault import names
from devicevault.errors import Fault
from devicevault.inventory.draft import values_of
from devicevault.inventory.entry import DefaultsEntry, FaultAt, faults_of
from devicevault.inventory.known import Known
from devicevault.inventory.sources.ansible import AnsibleTable
from devicevault.inventory.sources.command import CommandTable
from devicevault.inventory.sources.file import FileTable
from devicevault.inventory.sources.mapping import RecordMapping
from devicevault.inventory.sources.netbox import NetBoxTable
from devicevault.inventory.sources.sql import SqlTable
from devicevault.inventory.sources.table import Folder, SourceTable
from devicevault.inventory.sources.web import WebTable
from devicevault.nearest import did_you_mean

KINDS: Final[Mapping[str, type[SourceTable]]] = {
    "netbox": NetBoxTable,
    "http": WebTable,
    "sql": SqlTable,
    "command": CommandTable,
    "ansible": AnsibleTable,
    "file": FileTable,
}


@dataclass(frozen=True)
class Source:
    """One source: how it is asked, and what its devices have in common."""

    name: str
    table: SourceTable
    #: As ``[defaults]``, for this source's devices alone.
    defaults: Mapping[str, Any]
    mapping: RecordMapping
    #: Where relative paths start from.
    folder: Path
    #: Stands for all that was declared: another one makes another answer.
    digest: str


def declared(name: str, data: Any, folder: Path, known: Known, fault_at: FaultAt, faults: list[Fault]) -> Source | None:
    """The source of one ``[sources.NAME]``; ``None``, with its ``faults``, for one that can't be."""
    before = len(faults)
    if not names.is_group_name(name):
        faults.append(fault_at("", "can't be a source's name", "small letters and digits, with single - or _ between"))
    kind = str(data.get("kind", "")) if isinstance(data, dict) else ""
    if kind not in KINDS:
        problem = f"there is no kind {kind!r}" if kind else "the source has no kind"
        fix = did_you_mean(kind, KINDS) or f"there are: {', '.join(KINDS)}"
        faults.append(fault_at("kind", problem, fix))
        return None
    try:
        table = KINDS[kind].model_validate(data, context=Folder(folder))
    except ValidationError as error:
        faults += faults_of(error, KINDS[kind], fault_at)
        return None
    defaults = values_of(DefaultsEntry, table.defaults, known, _in_defaults(fault_at), faults)
    for group in {*table.groups.values()} - {"-"}:
        if known.groups is not None and group not in known.groups:
            faults.append(fault_at("groups", f"unknown group {group!r}", f"declare it: [groups.{group}]"))
    for platform in {*table.platforms.values()} - {"-"} - known.platforms:
        fix = did_you_mean(platform, sorted(known.platforms)) or "see: devicevault platforms list"
        faults.append(fault_at("platforms", f"unknown platform {platform!r}", fix))
    if len(faults) > before:
        return None
    mapping = RecordMapping(table.all_fields, table.platforms, table.groups, known.platforms)
    digest = hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()
    return Source(name, table, defaults, mapping, folder, digest)


def _in_defaults(fault_at: FaultAt) -> FaultAt:
    def fault(key: str, problem: str, fix: str) -> Fault:
        return fault_at("defaults", f"{key}: {problem}" if key else problem, fix)

    return fault
