"""A device that the inventory does not know yet, as it would be if it stood there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from devicevault import names
from devicevault.errors import Fault, UsageError
from devicevault.inventory.address import checked_address
from devicevault.inventory.device import Device
from devicevault.inventory.draft import Draft, layered
from devicevault.inventory.load import device_of, is_columns
from devicevault.inventory.tables import read_tables
from devicevault.inventory.unfit import Unfit
from devicevault.nearest import did_you_mean
from devicevault.settings import Settings


def newcomer(
    settings: Settings,
    platforms: Collection[str],
    credentials: Collection[str],
    *,
    address: str,
    credential: str,
    group: str = "",
    **own: Any,
) -> Device:
    """The device at ``address`` with what ``[defaults]``, its group and the settings give it; it has no platform yet.

    Without ``group``, it is in that of the defaults. Raises :class:`UsageError` for an address, a group or a
    credential that can't be, and :class:`ConfigurationError` for an inventory that is no TOML.
    """
    try:
        checked_address(address)
    except Unfit as unfit:
        raise UsageError(unfit.problem, unfit.fix) from None
    if credential not in credentials:
        fix = did_you_mean(credential, credentials) or f"there are: {', '.join(sorted(credentials)) or 'none'}"
        raise UsageError(f"there is no credential {credential!r} in {settings.credentials_file}", fix)
    defaults, groups = _inherited(settings, platforms, credentials)
    group = group or defaults.get("group") or names.DEFAULT_GROUP
    known = sorted({names.DEFAULT_GROUP, *settings.groups, *groups})
    if group not in known:
        raise UsageError(f"there is no group {group!r}", did_you_mean(group, known) or f"there are: {', '.join(known)}")
    said = {"address": address, "group": group, "credential": [credential], "platform": "", **own}
    inherited = {key: value for key, value in (groups.get(group) or defaults).items() if value is not None}
    return device_of(Draft(address, layered(inherited, said), Fault), settings)


def _inherited(
    settings: Settings, platforms: Collection[str], credentials: Collection[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What the inventory's file says of all devices, and by group; nothing where there is no such file yet."""
    if is_columns(settings) or not settings.inventory.path.exists():
        return {}, {}
    tables = read_tables(settings.inventory.path, platforms, credentials, settings.groups, settings.jumps)
    return tables.defaults, {name: layered(tables.defaults, values) for name, values in tables.groups.items()}
