"""How old the backups are: one plain row for each device, cheap enough to ask for every minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from devicevault.messages import Status
from devicevault.store.models import Device, DeviceBackupResult, HeldArtifact

#: Rows fetched at a time.
AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Freshness:
    """One device."""

    device_id: str
    group: str
    first_seen_at: datetime
    #: When the last good configuration was read.
    last_success_at: datetime | None
    is_suspect: bool
    is_archived: bool


def freshness(session: Session) -> Iterator[Freshness]:
    """Every device that was ever asked for; not all of them are in memory at the same time."""
    query = select(
        Device.device_id,
        Device.group,
        Device.first_seen_at,
        func.coalesce(DeviceBackupResult.started_at, DeviceBackupResult.requested_at),
        exists().where(HeldArtifact.device_pk == Device.id),
        Device.archived_at.is_not(None),
    ).outerjoin(DeviceBackupResult, DeviceBackupResult.id == Device.last_success_id)
    for row in session.execute(query, execution_options={"yield_per": AT_ONCE}):
        yield Freshness(*row)


def requests_waiting(session: Session) -> int:
    """Rows without a result."""
    query = select(func.count()).where(DeviceBackupResult.status == Status.QUEUED.value)
    return session.scalar(query) or 0
