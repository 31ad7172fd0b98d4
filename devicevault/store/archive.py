"""Devices that left the inventory: kept for a time, then archived, and back as soon as they are asked for again.

An archived device loses nothing. It is only out of the way: of ``status``, of searches and exports, of metrics and
notices.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from devicevault.store.models import Device, DeviceBackupResult
from devicevault.store.rows import chunks

#: Rows written in one statement.
AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Archiving:
    """What became of devices since the last time, by name."""

    archived: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    #: Gone from the inventory, and not for long enough yet.
    absent: tuple[str, ...] = ()


def archive_absent(
    session: Session, device_ids: Collection[str], after_days: int, now: datetime, *, dry_run: bool = False
) -> Archiving:
    """Archive devices that the inventory's ``device_ids`` miss for ``after_days``; take back those that are in it.

    How long a device is absent counts from the first call that misses it, or from when it was last asked for where
    that was later. With ``after_days`` 0 nothing is archived.
    """
    wanted = set(device_ids)
    asked = DeviceBackupResult.requested_at
    query = (
        select(Device.id, Device.device_id, Device.name, Device.absent_since, Device.archived_at, asked)
        .outerjoin(DeviceBackupResult, DeviceBackupResult.id == Device.latest_result_id)
        .order_by(Device.name, Device.id)
    )
    here: dict[int, str] = {}
    missed: dict[int, str] = {}
    going: dict[int, str] = {}
    returned, absent = [], []
    for pk, device_id, name, absent_since, archived_at, asked_at in session.execute(query):
        if device_id in wanted:
            if archived_at is not None or absent_since is not None:
                here[pk] = name
            returned += [name] if archived_at is not None else []
        elif archived_at is None:
            if absent_since is None:
                missed[pk] = name
            gone_at = max(filter(None, (absent_since or now, asked_at)))
            if after_days and now - gone_at >= timedelta(days=after_days):
                going[pk] = name
            else:
                absent.append(name)
    if not dry_run:
        _write(session, here, absent_since=None, archived_at=None)
        _write(session, missed, absent_since=now)
        _write(session, going, archived_at=now)
    return Archiving(tuple(going.values()), tuple(returned), tuple(absent))


def take_back(device: Device) -> bool:
    """Take a device out of the archive that is asked for; whether it was in it."""
    was_archived = device.archived_at is not None
    if was_archived or device.absent_since is not None:
        device.absent_since = device.archived_at = None
    return was_archived


def _write(session: Session, pks: Collection[int], **values: datetime | None) -> None:
    for some in chunks(sorted(pks), AT_ONCE):
        # Whoever writes results locks devices in another order: rows locked at this moment have their turn next time.
        free = select(Device.id).where(Device.id.in_(some)).with_for_update(skip_locked=True)
        found = list(session.scalars(free))
        session.execute(update(Device).where(Device.id.in_(found)).values(**values))
