"""How collections ended and how devices stand. The answers are plain values that outlive their transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Bundle, Session, aliased

from devicevault.messages import FAILED, Status
from devicevault.store.models import Device, DeviceBackupResult, HeldArtifact, RunAttachment

#: What of a device its state is made of.
_DEVICE: Final[Bundle[Any]] = Bundle(
    "device", Device.id, Device.device_id, Device.name, Device.platform, Device.group, Device.archived_at
)


@dataclass(frozen=True)
class ResultSummary:
    """One collection as its row tells it, without its log."""

    task_id: str
    run_id: str
    device: str
    device_id: str
    platform: str
    group: str
    status: str
    error: str
    error_message: str
    attempt: int
    requested_at: datetime
    started_at: datetime | None
    recorded_at: datetime | None
    duration_ms: int
    worker: str
    changed: bool
    artifacts: tuple[dict[str, Any], ...]

    @property
    def is_final(self) -> bool:
        return self.status != Status.QUEUED


@dataclass(frozen=True)
class DeviceState:
    """How a device stands: its newest request, and when it was last backed up."""

    device: str
    device_id: str
    platform: str
    group: str
    latest: ResultSummary | None
    #: When the last good configuration was read.
    last_success_at: datetime | None
    #: Collections that failed since then, one after the other.
    failures: int
    #: When the suspect configuration was read that is held until it is accepted.
    suspect_at: datetime | None
    #: When it was archived, having left the inventory.
    archived_at: datetime | None = None


def device_states(
    session: Session, *, device_ids: Collection[str] | None = None, groups: Collection[str] = ()
) -> list[DeviceState]:
    """How every device stands, by name; only those of ``device_ids`` and ``groups`` where these are given."""
    latest, success = aliased(DeviceBackupResult), aliased(DeviceBackupResult)
    query = (
        select(_DEVICE, _told_by(latest), func.coalesce(success.started_at, success.requested_at))
        .outerjoin(latest, latest.id == Device.latest_result_id)
        .outerjoin(success, success.id == Device.last_success_id)
        .order_by(Device.name, Device.id)
    )
    if groups:
        query = query.where(Device.group.in_(groups))
    wanted = None if device_ids is None else set(device_ids)
    failures = _failures(session)
    suspects = dict(
        session.execute(
            select(HeldArtifact.device_pk, func.max(HeldArtifact.collected_at)).group_by(HeldArtifact.device_pk)
        ).all()
    )
    return [
        DeviceState(
            device=device.name,
            device_id=device.device_id,
            platform=device.platform,
            group=device.group,
            latest=_summary(row, device.device_id) if row.task_id is not None else None,
            last_success_at=last_success_at,
            failures=failures.get(device.id, 0),
            suspect_at=suspects.get(device.id),
            archived_at=device.archived_at,
        )
        for device, row, last_success_at in session.execute(query)
        if wanted is None or device.device_id in wanted
    ]


def run_results(session: Session, run_id: str) -> list[ResultSummary]:
    """The rows of a run in the order they were asked for, with those of other runs it waits for."""
    return _summaries(
        session,
        select(_told_by(DeviceBackupResult), Device.device_id)
        .join(Device, Device.id == DeviceBackupResult.device_pk)
        .where(_is_of_run(run_id))
        .order_by(DeviceBackupResult.id),
    )


def run_progress(session: Session, run_id: str) -> dict[str, int]:
    """How many rows of a run have each status: cheap enough to ask every second."""
    query = (
        select(DeviceBackupResult.status, func.count()).where(_is_of_run(run_id)).group_by(DeviceBackupResult.status)
    )
    return dict(session.execute(query).all())


def device_results(session: Session, device: Device, *, limit: int) -> list[ResultSummary]:
    """A device's newest ``limit`` rows, newest first."""
    return _summaries(
        session,
        select(_told_by(DeviceBackupResult), Device.device_id)
        .join(Device, Device.id == DeviceBackupResult.device_pk)
        .where(DeviceBackupResult.device_pk == device.id)
        .order_by(DeviceBackupResult.requested_at.desc(), DeviceBackupResult.id.desc())
        .limit(limit),
    )


def result_log(session: Session, task_id: str) -> list[dict[str, Any]]:
    """The steps of one collection: ``time``, ``severity``, ``message``."""
    query = select(DeviceBackupResult.log).where(DeviceBackupResult.task_id == task_id)
    return session.scalars(query).first() or []


def _is_of_run(run_id: str) -> ColumnElement[bool]:
    attached = select(RunAttachment.result_id).where(RunAttachment.run_id == run_id)
    return or_(DeviceBackupResult.run_id == run_id, DeviceBackupResult.id.in_(attached))


def _failures(session: Session) -> dict[int, int]:
    """How many collections of each device failed since its last success; counted anew, so that it is always right."""
    success = aliased(DeviceBackupResult)
    query = (
        select(DeviceBackupResult.device_pk, func.count())
        .join(Device, Device.id == DeviceBackupResult.device_pk)
        .outerjoin(success, success.id == Device.last_success_id)
        .where(
            DeviceBackupResult.status.in_(FAILED),
            or_(success.id.is_(None), DeviceBackupResult.requested_at > success.requested_at),
        )
        .group_by(DeviceBackupResult.device_pk)
    )
    return dict(session.execute(query).all())


def _told_by(result: type[DeviceBackupResult]) -> Bundle[Any]:
    """What a summary is made of: columns, since ten thousand objects would take half of the time of a ``status``."""
    return Bundle(
        "result",
        result.task_id,
        result.run_id,
        result.device_name,
        result.platform,
        result.group,
        result.status,
        result.error,
        result.error_message,
        result.attempt,
        result.requested_at,
        result.started_at,
        result.recorded_at,
        result.collection_duration_ms,
        result.worker,
        result.changed,
        result.artifacts,
    )


def _summaries(session: Session, query: Select[Any, str]) -> list[ResultSummary]:
    return [_summary(row, device_id) for row, device_id in session.execute(query)]


def _summary(row: Any, device_id: str) -> ResultSummary:
    return ResultSummary(
        task_id=row.task_id,
        run_id=row.run_id or "",
        device=row.device_name,
        device_id=device_id,
        platform=row.platform,
        group=row.group,
        status=row.status,
        error=row.error,
        error_message=row.error_message,
        attempt=row.attempt,
        requested_at=row.requested_at,
        started_at=row.started_at,
        recorded_at=row.recorded_at,
        duration_ms=row.collection_duration_ms,
        worker=row.worker,
        changed=row.changed,
        artifacts=tuple(row.artifacts),
    )
