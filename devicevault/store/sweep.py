"""End what nobody will end any more: queued rows that outlived every possible wait."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from devicevault.messages import Status
from devicevault.names import queue_for
from devicevault.settings import Settings
from devicevault.store.engine import Store
from devicevault.store.models import DeviceBackupResult
from devicevault.store.requests import end_queued

#: Rows ended in one transaction, so that results need not wait long for their turn.
SWEEP_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Waits:
    """How long a request may stay without a result."""

    #: In its queue, for a row that does not tell when it expires.
    queue: timedelta
    #: After that: a session that began at the last moment, and as long again until the broker gave the task of a
    #: worker that died meanwhile to another one, which finds it expired.
    session: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> Waits:
        return cls(timedelta(seconds=settings.queue.wait_s), timedelta(seconds=2 * settings.acknowledgement_limit_s))


@dataclass(frozen=True)
class Ended:
    """A row the sweep ended."""

    task_id: str
    run_id: str
    device: str
    group: str
    status: str
    reason: str


def sweep(store: Store, waits: Waits, now: datetime) -> list[Ended]:
    """End rows that outlived every possible wait by ``now``, at most :data:`SWEEP_AT_ONCE` of them.

    ``expired`` where no worker of the group delivered anything since, ``lost`` where one did. A result that
    comes in spite of that outranks both.
    """
    with store.reading() as session:
        if not _overdue(session, waits, now):
            return []  # without a writer's lock: nearly always
    with store.session() as session:
        overdue = _overdue(session, waits, now)
        delivered = _last_delivery(session, {row.group for row in overdue})
        never = now - timedelta(days=36500)
        lost = {row.task_id: _LOST for row in overdue if delivered.get(row.group, never) >= row.requested_at}
        expired = {row.task_id: _expired(row.group) for row in overdue if row.task_id not in lost}
        ended = end_queued(session, lost, Status.LOST, "lost") + end_queued(session, expired, Status.EXPIRED, "")
        return [
            Ended(row.task_id, row.run_id or "", row.device_name, row.group, row.status, row.error_message)
            for row in ended
        ]


_LOST: Final = (
    "no result came in any possible time, though the group's workers delivered others; collect the device again, and "
    "see `devicevault doctor`"
)


def _expired(group: str) -> str:
    return (
        f"waited in queue {queue_for(group)} until it was not worth doing any more, and no worker of group {group} "
        f"delivered anything meanwhile; see that one runs (systemctl status devicevault-worker@{group}) and that the "
        "group is not paused (devicevault pause)"
    )


def _overdue(session: Session, waits: Waits, now: datetime) -> list[DeviceBackupResult]:
    query = (
        select(DeviceBackupResult)
        .where(
            DeviceBackupResult.status == Status.QUEUED,
            or_(
                DeviceBackupResult.expires_at < now - waits.session,
                and_(
                    DeviceBackupResult.expires_at.is_(None),
                    DeviceBackupResult.requested_at < now - waits.queue - waits.session,
                ),
            ),
        )
        .order_by(DeviceBackupResult.requested_at)
        .limit(SWEEP_AT_ONCE)
    )
    return list(session.scalars(query))


def _last_delivery(session: Session, groups: Collection[str]) -> dict[str, datetime]:
    """When each group's workers last delivered a result."""
    query = (
        select(DeviceBackupResult.group, func.max(DeviceBackupResult.recorded_at))
        .where(DeviceBackupResult.group.in_(groups), DeviceBackupResult.worker != "")
        .group_by(DeviceBackupResult.group)
    )
    return {group: moment for group, moment in session.execute(query) if moment is not None}
