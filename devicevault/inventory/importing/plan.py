"""From another program's devices to those of an inventory, and what is left out of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from devicevault import names
from devicevault.errors import Fault
from devicevault.inventory import foreign
from devicevault.inventory.address import checked_address
from devicevault.inventory.draft import values_of
from devicevault.inventory.entry import DeviceEntry, checked_name
from devicevault.inventory.importing.gathered import Gathered
from devicevault.inventory.known import Known
from devicevault.inventory.sources.mapping import is_told, mapped
from devicevault.inventory.unfit import Unfit

#: In the order a person would write them.
_KEYS: Final = tuple(dict.fromkeys(("address", "port", *DeviceEntry.model_fields)))
#: What goes without saying.
_USUAL: Final[Mapping[str, Any]] = {"port": 22, "enabled": True, "group": names.DEFAULT_GROUP, "tags": []}


@dataclass(frozen=True)
class LeftOut:
    """A device that could not be carried over."""

    name: str
    table: dict[str, Any]
    reason: str


@dataclass
class Plan:
    """What is to be written, and told."""

    origin: str
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def planned(
    gathered: Gathered, platforms: Collection[str], *, group: str = "", renamed: Mapping[str, str] | None = None
) -> Plan:
    """What becomes of what was gathered.

    With ``group``, all devices go into that collector group, and what was their group becomes a tag. ``renamed`` maps
    the other program's platforms, or patterns of them, before what is known of it does.
    """
    plan = Plan(gathered.origin)
    known = Known(platforms, None, None)
    old_names: dict[str, set[str]] = defaultdict(set)
    for record in gathered.records:
        table = {key: record[key] for key in _KEYS if is_told(key, record.get(key))}
        name = record.get("name")
        old_group = str(table.pop("group", ""))
        new_group = group or group_name(old_group)
        old_names[new_group].add(old_group)
        if group and (tag := re.sub(r"[\s,]+", "-", old_group.strip())):
            table["tags"] = [*table.get("tags", []), tag]
        table["group"] = new_group
        if isinstance(table.get("platform"), str):
            table["platform"] = foreign.platform(mapped(table["platform"], renamed or {}), platforms)
        table = {
            key: value for key, value in table.items() if value != _USUAL.get(key) and (key, value) != ("address", name)
        }
        reason = _why_not(name, table, plan, known)
        if reason:
            plan.left_out.append(LeftOut(str(name), table, reason))
        else:
            plan.devices[str(name)] = table
    _declare_groups(plan, gathered, old_names, told=not group)
    plan.notes += gathered.notes
    return plan


def group_name(old: str) -> str:
    """A collector group's name made of another program's group; the default where nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", old.casefold()).strip("-") or names.DEFAULT_GROUP


def _why_not(name: Any, table: dict[str, Any], plan: Plan, known: Known) -> str:
    if not isinstance(name, str):
        return "it has no name"
    if name in plan.devices:
        return "a device of this name is there already"
    if "platform" not in table:
        return "it has no platform"
    faults: list[Fault] = []
    values_of(DeviceEntry, table, known, lambda key, problem, fix: Fault("", problem, "", key), faults)
    try:
        checked_name(name)
        if "address" not in table:
            checked_address(name)
    except Unfit as unfit:
        return unfit.problem
    if table["platform"] not in known.platforms:
        return f"no platform page for {table['platform']!r}"
    return f"{faults[0].key}: {faults[0].problem}" if faults else ""


def _declare_groups(plan: Plan, gathered: Gathered, old_names: Mapping[str, set[str]], *, told: bool) -> None:
    logins = {group_name(old) for old in gathered.groups_with_login}
    used = sorted({table.get("group", names.DEFAULT_GROUP) for table in plan.devices.values()})
    for group in used if used != [names.DEFAULT_GROUP] else ():
        plan.groups[group] = {"credential": group} if group in logins and told else {}
    changed = [
        f"{old!r} is {new!r}" for new, olds in sorted(old_names.items()) for old in sorted(olds) if old not in ("", new)
    ]
    if told and changed:
        plan.notes.append(f"groups have other names here: {', '.join(changed)}")
    workers = [f"devicevault-worker@{group}" for group in used if group != names.DEFAULT_GROUP]
    if told and workers:
        plan.notes.append(
            f"each collector group needs a worker: systemctl enable --now {' '.join(workers)}; if one host reaches"
            " them all, import with --group default: the old groups become tags"
        )
    for group in plan.groups:
        if plan.groups[group]:
            plan.notes.append(f"add [credentials.{group}] to credentials.toml: group {group} had a login of its own")
