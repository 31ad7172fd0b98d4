"""Questions to the store. The answers are plain values that outlive their transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, aliased, defer, joinedload

from devicevault.errors import UsageError
from devicevault.messages import FAILED, Status
from devicevault.nearest import did_you_mean
from devicevault.store.models import (
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    HeldArtifact,
    RunAttachment,
    SealedOriginal,
)
from devicevault.store.revisions import text_of
from devicevault.store.rows import chunks
from devicevault.store.suspicion import held_artifacts


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


@dataclass(frozen=True)
class Revision:
    """One state of one artifact."""

    device: str
    device_id: str
    artifact: str
    number: int
    reason: str
    added: int
    removed: int
    media_type: str
    size: int
    digest: str
    collected_at: datetime
    confirmed_at: datetime
    text: str = field(default="", repr=False)


@dataclass(frozen=True)
class Original:
    """What a device sent, as the worker sealed it."""

    revision: int
    key_id: str
    sealed: bytes = field(repr=False)
    collected_at: datetime


@dataclass(frozen=True)
class Held:
    """What a suspect collection brought home of one artifact, held until it is accepted."""

    device: str
    device_id: str
    artifact: str
    size: int
    digest: str
    collected_at: datetime
    key_id: str
    text: str = field(repr=False)
    sealed: bytes = field(repr=False)


def find_device(session: Session, name: str) -> Device:
    """The device of this name or ``device_id``; of two with one name, the one asked for last.

    Raises :class:`~devicevault.errors.UsageError` naming the nearest.
    """
    newest_first = Device.latest_result_id.desc().nulls_last()
    device = session.scalars(select(Device).where(Device.name == name).order_by(newest_first)).first()
    if device is None:
        device = session.scalars(select(Device).where(Device.device_id == name)).first()
    if device is None:
        hint = did_you_mean(name, session.scalars(select(Device.name)))
        raise UsageError(f"no collection of a device {name!r} was ever asked for", hint or "see: devicevault status")
    return device


def device_states(
    session: Session, *, device_ids: Collection[str] | None = None, groups: Collection[str] = ()
) -> list[DeviceState]:
    """How every device stands, by name; only those of ``device_ids`` and ``groups`` where these are given."""
    latest, success = aliased(DeviceBackupResult), aliased(DeviceBackupResult)
    query = (
        select(Device, latest, func.coalesce(success.started_at, success.requested_at))
        .outerjoin(latest, latest.id == Device.latest_result_id)
        .outerjoin(success, success.id == Device.last_success_id)
        .options(defer(latest.log))
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
            latest=_summary(row, device.device_id) if row else None,
            last_success_at=last_success_at,
            failures=failures.get(device.id, 0),
            suspect_at=suspects.get(device.id),
        )
        for device, row, last_success_at in session.execute(query)
        if wanted is None or device.device_id in wanted
    ]


def run_results(session: Session, run_id: str) -> list[ResultSummary]:
    """The rows of a run in the order they were asked for, with those of other runs it waits for."""
    return _summaries(
        session,
        select(DeviceBackupResult, Device.device_id)
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
        select(DeviceBackupResult, Device.device_id)
        .join(Device, Device.id == DeviceBackupResult.device_pk)
        .where(DeviceBackupResult.device_pk == device.id)
        .order_by(DeviceBackupResult.requested_at.desc(), DeviceBackupResult.id.desc())
        .limit(limit),
    )


def result_log(session: Session, task_id: str) -> list[dict[str, Any]]:
    """The steps of one collection: ``time``, ``severity``, ``message``."""
    query = select(DeviceBackupResult.log).where(DeviceBackupResult.task_id == task_id)
    return session.scalars(query).first() or []


def main_artifact(session: Session, device: Device) -> str:
    """The name of what is shown when nobody asks for another artifact: the one collected first."""
    return next(iter(artifact_names(session, device)), "running")


def artifact_names(session: Session, device: Device) -> list[str]:
    """What was ever collected of a device, the first one first."""
    query = (
        select(DeviceRevision.artifact)
        .where(DeviceRevision.device_pk == device.id)
        .group_by(DeviceRevision.artifact)
        .order_by(func.min(DeviceRevision.id))
    )
    return list(session.scalars(query))


def device_revisions(session: Session, device: Device, *, limit: int, artifact: str = "") -> list[Revision]:
    """A device's newest ``limit`` revisions without their texts, newest first."""
    query = (
        select(DeviceRevision)
        .where(DeviceRevision.device_pk == device.id)
        .order_by(DeviceRevision.id.desc())
        .options(joinedload(DeviceRevision.config).defer(DeviceConfig.compressed))
        .limit(limit)
    )
    if artifact:
        query = query.where(DeviceRevision.artifact == artifact)
    return [_revision(row, device) for row in session.scalars(query)]


def revision(session: Session, device: Device, *, artifact: str, number: int | None = None) -> Revision:
    """One revision with its text; the newest without a ``number``. Raises :class:`~devicevault.errors.UsageError`."""
    row = _revision_row(session, device, artifact, number)
    return _revision(row, device, text_of(row.config))


def original(session: Session, device: Device, *, artifact: str, number: int | None = None) -> Original:
    """The newest whole original of a revision. Raises :class:`~devicevault.errors.UsageError` when none was kept."""
    row = _revision_row(session, device, artifact, number)
    kept = session.scalars(select(SealedOriginal).where(SealedOriginal.revision_id == row.id)).first()
    if kept is None:
        raise UsageError(f"no original was kept of revision {row.number} of {device.name}")
    return Original(row.number, kept.key_id, kept.sealed, kept.collected_at)


def held(session: Session, device: Device, *, artifact: str = "") -> Held:
    """What is held of a device as suspect: this artifact, or the first. Raises :class:`UsageError` when nothing is."""
    found = held_artifacts(session, device)
    if not found:
        raise UsageError(f"nothing suspect is held of {device.name}", f"see: devicevault history {device.name}")
    chosen = next((one for one in found if one.artifact == artifact), None) if artifact else found[0]
    if chosen is None:
        known = ", ".join(one.artifact for one in found)
        raise UsageError(f"nothing suspect is held of {device.name}'s {artifact!r}", f"there is {known}")
    return Held(
        device=device.name,
        device_id=device.device_id,
        artifact=chosen.artifact,
        size=chosen.config.size,
        digest=chosen.config.digest,
        collected_at=chosen.collected_at,
        key_id=chosen.key_id,
        text=text_of(chosen.config),
        sealed=chosen.sealed,
    )


def suspect_devices(session: Session, groups: Collection[str]) -> list[Device]:
    """The devices of these groups of which something suspect is held."""
    holding = select(HeldArtifact.device_pk)
    return list(session.scalars(select(Device).where(Device.group.in_(groups), Device.id.in_(holding))))


def pinned_host_keys(session: Session, device_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The host keys pinned for these devices, by ``device_id``; devices without one are left out."""
    pinned: dict[str, tuple[str, ...]] = {}
    for some in chunks(device_ids):
        query = select(Device.device_id, Device.host_key).where(Device.device_id.in_(some), Device.host_key != "")
        pinned.update((device_id, (key,)) for device_id, key in session.execute(query))
    return pinned


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


def _revision_row(session: Session, device: Device, artifact: str, number: int | None) -> DeviceRevision:
    query = (
        select(DeviceRevision)
        .where(DeviceRevision.device_pk == device.id, DeviceRevision.artifact == artifact)
        .order_by(DeviceRevision.number.desc())
        .options(joinedload(DeviceRevision.config))
        .limit(1)
    )
    row = session.scalars(query if number is None else query.where(DeviceRevision.number == number)).first()
    if row is not None:
        return row
    known = artifact_names(session, device)
    if not known:
        raise UsageError(f"{device.name} was never backed up", f"see: devicevault history {device.name}")
    if artifact not in known:
        raise UsageError(f"{device.name} has no artifact {artifact!r}", f"it has {', '.join(known)}")
    raise UsageError(f"{device.name} has no revision {number}", f"see: devicevault history {device.name}")


def _summaries(session: Session, query: Select[DeviceBackupResult, str]) -> list[ResultSummary]:
    rows = session.execute(query.options(defer(DeviceBackupResult.log)))
    return [_summary(row, device_id) for row, device_id in rows]


def _summary(row: DeviceBackupResult, device_id: str) -> ResultSummary:
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


def _revision(row: DeviceRevision, device: Device, text: str = "") -> Revision:
    return Revision(
        device=device.name,
        device_id=device.device_id,
        artifact=row.artifact,
        number=row.number,
        reason=row.reason,
        added=row.added,
        removed=row.removed,
        media_type=row.media_type,
        size=row.config.size,
        digest=row.config.digest,
        collected_at=row.collected_at,
        confirmed_at=row.confirmed_at,
        text=text,
    )
