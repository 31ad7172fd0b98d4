"""The row of a device: its names, its pinned host key, and which of its results is the newest."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from devicevault.messages import CollectRequest, CollectResult, Status
from devicevault.store.archive import take_back
from devicevault.store.known import KnownDevice, KnownResult, KnownRow
from devicevault.store.models import Device, DeviceBackupResult
from devicevault.store.rows import storable

logger = logging.getLogger(__name__)


def new_device(message: CollectRequest | CollectResult, now: datetime) -> dict[str, object]:
    """The values of a device first heard of in this message."""
    return {
        "device_id": storable(message.device_id),
        "name": storable(message.device),
        "platform": storable(message.platform),
        "group": storable(message.group),
        "first_seen_at": now,
    }


def rename(device: Device, request: CollectRequest) -> None:
    """Give the device the names it has in the inventory now."""
    named = {"name": request.device, "platform": request.platform, "group": request.group}
    for column, value in named.items():
        # Setting a column makes work for SQLAlchemy though nothing changes, and mostly nothing does.
        if getattr(device, column) != value:
            setattr(device, column, value)
    if take_back(device):
        logger.info("%s is back, and in the archive no more", device.name, extra={"device": device.name})


def pin_host_key(device: KnownDevice, row: KnownRow) -> None:
    """Pin the key of the first session that succeeded: one that only failed may have met a stranger."""
    if row.host_key and not device.host_key:
        device.host_key = row.host_key
        device.host_key_seen_at = row.recorded_at
        device.is_touched = True


def note_newest(device: KnownDevice, row: KnownRow) -> None:
    """Let the device point to this row where no newer request of it is known."""
    if _is_newer(row, device.latest):
        device.is_touched |= device.latest_result_id != row.id
        device.latest, device.latest_result_id = row.ended(), row.id
    if row.status == Status.SUCCESS and _is_newer(row, device.success):
        device.is_touched |= device.last_success_id != row.id
        device.success, device.last_success_id = row.ended(), row.id


def point_to_newest(session: Session, run_id: str) -> None:
    """Make the rows of this run the newest ones of their devices, which are locked."""
    newest = (
        select(DeviceBackupResult.device_pk, func.max(DeviceBackupResult.id).label("id"))
        .where(DeviceBackupResult.run_id == run_id)
        .group_by(DeviceBackupResult.device_pk)
        .subquery()
    )
    session.execute(
        update(Device)
        .where(
            Device.id == newest.c.device_pk,
            or_(Device.latest_result_id.is_(None), Device.latest_result_id < newest.c.id),
        )
        .values(latest_result_id=newest.c.id)
        .execution_options(synchronize_session=False)
    )


def _is_newer(row: KnownRow, than: KnownResult | None) -> bool:
    return than is None or (row.requested_at, row.id) >= (than.requested_at, than.id)
