"""A device as it was read, before the devices are looked at together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from devicevault.errors import Fault
from devicevault.inventory.entry import FaultAt, GroupEntry, faults_of
from devicevault.inventory.known import Known


@dataclass(frozen=True, slots=True)
class Draft:
    """One device: its own values over its group's over the defaults; ``None`` where a value is at fault."""

    name: str
    values: dict[str, Any]
    fault_at: FaultAt
    #: The inventory's source it was read from; empty for the inventory's own file.
    source: str = ""


def values_of(
    kind: type[GroupEntry], table: object, known: Known, fault_at: FaultAt, faults: list[Fault]
) -> dict[str, Any]:
    """What one table or row says. Faults are added to ``faults``, and their keys are ``None`` in the answer."""
    try:
        return _said(kind.model_validate(table, context=known))
    except ValidationError as error:
        faults += faults_of(error, kind, fault_at)
        wrong = {detail["loc"][0] for detail in error.errors(include_input=False, include_url=False) if detail["loc"]}
    if not isinstance(table, dict):
        return {}
    sound = {key: value for key, value in table.items() if key not in wrong}
    return _said(kind.model_validate(sound, context=known)) | {str(key): None for key in wrong}


def layered(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``: tags are gathered, options merged key by key, all else replaced."""
    if not above:
        return below
    values = below | above
    if "tags" in below and "tags" in above:
        values["tags"] = list(dict.fromkeys((*(below["tags"] or ()), *(above["tags"] or ()))))
    if "options" in below and "options" in above:
        values["options"] = (below["options"] or {}) | (above["options"] or {})
    return values


def _said(entry: GroupEntry) -> dict[str, Any]:
    return {key: getattr(entry, key) for key in entry.model_fields_set}
