"""Which device is meant, and what is known of many."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from devicevault.errors import UsageError
from devicevault.nearest import did_you_mean
from devicevault.store.models import Device
from devicevault.store.rows import chunks


def find_device(session: Session, name: str, *, archived: bool = True) -> Device:
    """The device of this name or ``device_id``; of two with one name, the one not archived, or asked for last.

    Raises :class:`~devicevault.errors.UsageError` naming the nearest, or for an archived one without ``archived``.
    """
    in_order = (Device.archived_at.desc().nulls_first(), Device.latest_result_id.desc().nulls_last())
    device = session.scalars(select(Device).where(Device.name == name).order_by(*in_order)).first()
    if device is None:
        device = session.scalars(select(Device).where(Device.device_id == name)).first()
    if device is None:
        hint = did_you_mean(name, session.scalars(select(Device.name)))
        raise UsageError(f"no collection of a device {name!r} was ever asked for", hint or "see: devicevault status")
    if device.archived_at is not None and not archived:
        when = device.archived_at.astimezone().date()
        raise UsageError(f"{device.name} left the inventory and was archived on {when}", "add --archived to see it")
    return device


def check_groups(session: Session, groups: Collection[str]) -> None:
    """Raises :class:`~devicevault.errors.UsageError` for a group no device was ever in, naming the nearest."""
    if not groups:
        return
    known = set(session.scalars(select(Device.group).distinct()))
    for group in groups:
        if group not in known:
            hint = did_you_mean(group, known) or f"there is {', '.join(sorted(known)) or 'none yet'}"
            raise UsageError(f"no device of a group {group!r} was ever collected", hint)


def pinned_host_keys(session: Session, device_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The host keys pinned for these devices, by ``device_id``; devices without one are left out."""
    pinned: dict[str, tuple[str, ...]] = {}
    for some in chunks(device_ids):
        query = select(Device.device_id, Device.host_key).where(Device.device_id.in_(some), Device.host_key != "")
        pinned.update((device_id, (key,)) for device_id, key in session.execute(query))
    return pinned
