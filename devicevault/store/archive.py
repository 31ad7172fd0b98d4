"""Devices that left the inventory: kept for a time, then archived, and back as soon as they are asked for again.

An archived device loses nothing. It is only out of the way: of ``status``, of searches and exports, of metrics and
notices.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    here: list[int] = []
    missed: list[int] = []
    going: list[int] = []
    archived, returned, absent = [], [], []
    for pk, device_id, name, absent_since, archived_at, asked_at in session.execute(query):
        if device_id in wanted:
            if archived_at is not None:
                returned.append(name)
            if archived_at is not None or absent_since is not None:
                here.append(pk)
            continue
        if archived_at is not None:
            continue
        if absent_since is None:
            missed.append(pk)
        gone_at = max(filter(None, (absent_since or now, asked_at)))
        if after_days and now - gone_at >= timedelta(days=after_days):
            going.append(pk)
            archived.append(name)
        else:
            absent.append(name)
    if not dry_run:
        _write(session, here, absent_since=None, archived_at=None)
        _write(session, missed, absent_since=now)
        _write(session, going, archived_at=now)
    return Archiving(tuple(archived), tuple(returned), tuple(absent))


def take_back(device: Device) -> bool:
    """Take a device out of the archive that is asked for; whether it was in it."""
    was_archived = device.archived_at is not None
    device.absent_since = device.archived_at = None
    return was_archived


def _write(session: Session, pks: Sequence[int], **values: datetime | None) -> None:
    for some in chunks(pks, AT_ONCE):
        session.execute(update(Device).where(Device.id.in_(some)).values(**values))
