"""How devices stand, seen from both sides: what the vault knows of them, and what the inventory asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from devicevault.cli.console import errors
from devicevault.errors import ConfigurationError, NoDatabaseYet, UsageError
from devicevault.messages import Status
from devicevault.nearest import did_you_mean
from devicevault.store.reader import DeviceState

if TYPE_CHECKING:
    from devicevault.inventory import Inventory
    from devicevault.settings import Settings

NEVER: Final = "never"


@dataclass(frozen=True)
class Standing:
    """One device."""

    state: DeviceState
    #: Whether the inventory has it, and enabled; ``None`` where the inventory can't be read.
    in_inventory: bool | None

    @property
    def status(self) -> str:
        """How its newest request stands; ``never`` for a device nobody ever asked for."""
        return self.state.latest.status if self.state.latest else NEVER

    @property
    def is_archived(self) -> bool:
        """Whether it left the inventory for good; one that is back there is taken out at the next occasion."""
        return self.state.archived_at is not None and not self.in_inventory

    def is_of(self, names: Collection[str]) -> bool:
        return self.state.device in names or self.state.device_id in names

    @property
    def needs_a_look(self) -> bool:
        """Whether it failed since its last good backup, is suspect, or has none; whatever was asked for since."""
        has_none = self.state.last_success_at is None and self.status != Status.QUEUED
        return has_none or self.state.failures > 0 or self.state.suspect_at is not None

    def is_stale(self, age: timedelta, now: datetime) -> bool:
        """Whether a device that is to be backed up has no good backup younger than ``age``."""
        if self.in_inventory is False or self.is_archived:
            return False
        good = self.state.last_success_at
        return good is None or good < now - age


def known_states(settings: Settings) -> list[DeviceState]:
    """How each device the vault knows stands; none, with a word on stderr, where nothing was ever collected."""
    from devicevault.store import open_store
    from devicevault.store.reader import device_states

    try:
        with open_store(settings.database_url) as store, store.reading() as session:
            return device_states(session)
    except NoDatabaseYet as error:
        errors().print(f"nothing was collected yet: {error.faults[0].problem}", style="yellow", soft_wrap=True)
        return []


def standings(states: Sequence[DeviceState], inventory: Inventory | None) -> list[Standing]:
    """Every device the vault knows or the inventory has enabled, by name."""
    if inventory is None:
        return [Standing(state, None) for state in states]
    enabled = {device.device_id: device for device in inventory if device.enabled}
    known = {state.device_id for state in states}
    found = [Standing(state, state.device_id in enabled) for state in states]
    for device in enabled.values():
        if device.device_id not in known:
            state = DeviceState(device.name, device.device_id, device.platform, device.group, None, None, 0, None)
            found.append(Standing(state, True))
    return sorted(found, key=lambda one: (one.state.device, one.state.device_id))


def chosen(found: Sequence[Standing], names: Collection[str], groups: Collection[str]) -> list[Standing]:
    """Those of these names (or ids) and groups. Raises :class:`UsageError` for one nobody knows."""
    known = {name for one in found for name in (one.state.device, one.state.device_id)}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, sorted(known)) or "see: devicevault status"
            raise UsageError(f"neither the vault nor the inventory knows a device {name!r}", hint)
    in_use = sorted({one.state.group for one in found})
    for group in groups:
        if group not in in_use:
            raise UsageError(f"no device has the group {group!r}", f"there are: {', '.join(in_use) or 'none'}")
    return [one for one in found if (not names or one.is_of(names)) and (not groups or one.state.group in groups)]


def readable_inventory(settings: Settings, otherwise: str) -> Inventory | None:
    """The inventory, or ``None`` where it can't be used; stderr then tells what is done ``otherwise``."""
    from devicevault.inventory import load_inventory
    from devicevault.platforms.loader import platform_names

    try:
        return load_inventory(settings, platform_names(settings.platforms_dir), None)
    except ConfigurationError as error:
        fault = f"{error.faults[0]}" if error.faults else str(error)
        errors().print(
            f"warning: {otherwise}, since the inventory can't be used: {fault}", style="yellow", soft_wrap=True
        )
        return None
