"""The SSH host keys of devices: the one that is pinned, and the one a collection met instead of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased

from devicevault.errors import HostKeyRefused
from devicevault.store.models import Device, DeviceBackupResult
from devicevault.store.rows import locked_by


@dataclass(frozen=True)
class HostKeys:
    """Both keys, ``type base64``; empty where there is none."""

    device: str
    device_id: str
    group: str
    pinned: str
    pinned_at: datetime | None
    #: Refused since the last success, and not accepted.
    refused: str
    refused_at: datetime | None


def host_keys(
    session: Session, device_ids: Collection[str] = (), groups: Collection[str] = (), *, refused: bool = False
) -> list[HostKeys]:
    """The host keys of these devices and of all of these groups, by name; of every device where neither is given.

    With ``refused``, only of devices with a key that waits to be accepted.
    """
    met = aliased(DeviceBackupResult)
    query = select(Device, met).outerjoin(met, met.id == _newest_refusal()).order_by(Device.name)
    wanted = Device.device_id.in_(device_ids) | Device.group.in_(groups)
    rows = session.execute(query.where(wanted) if device_ids or groups else query)
    known = [_told(device, row) for device, row in rows]
    return [keys for keys in known if keys.refused] if refused else known


def accept(session: Session, device_id: str, key: str) -> None:
    """From now on, this is the device's host key."""
    device = locked_by(session, Device, Device.device_id, [device_id])[device_id]
    device.host_key = key
    device.host_key_seen_at = datetime.now(UTC)


def forget(session: Session, device: Device) -> None:
    """Let the next session that succeeds pin the key it sees."""
    device.host_key = ""
    device.host_key_seen_at = None
    session.add(device)


def _newest_refusal() -> ColumnElement[int | None]:
    """The row of the newest collection that met another key, of those asked for since the last success."""
    row, success = aliased(DeviceBackupResult), aliased(DeviceBackupResult)
    succeeded_at = select(success.requested_at).where(success.id == Device.last_success_id).correlate(Device)
    return (
        select(row.id)
        .where(
            row.device_pk == Device.id,
            row.error == HostKeyRefused.code,
            row.host_key != "",
            Device.last_success_id.is_(None) | (row.requested_at >= succeeded_at.scalar_subquery()),
        )
        .order_by(row.requested_at.desc(), row.id.desc())
        .limit(1)
        .correlate(Device)
        .scalar_subquery()
    )


def _told(device: Device, row: DeviceBackupResult | None) -> HostKeys:
    is_new = row is not None and row.host_key != device.host_key
    return HostKeys(
        device=device.name,
        device_id=device.device_id,
        group=device.group,
        pinned=device.host_key,
        pinned_at=device.host_key_seen_at,
        refused=row.host_key if row is not None and is_new else "",
        refused_at=row.recorded_at if row is not None and is_new else None,
    )
