"""A device's revisions, their texts and originals. The answers are plain values that outlive their transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from devicevault.errors import UsageError
from devicevault.store.models import (
    CollectionRun,
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    HeldArtifact,
    SealedOriginal,
)
from devicevault.store.suspicion import held_artifacts
from devicevault.store.texts import text_of


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
    #: Who made the change, and when, in the device's own words; empty where it does not tell.
    author: str
    authored_at: str
    #: The run whose collection found it, and who asked for that.
    run_id: str
    asked_by: str
    text: str = field(default="", repr=False)


@dataclass(frozen=True)
class Original:
    """What a device sent, as the worker sealed it."""

    artifact: str
    media_type: str
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


def main_artifact(device: Device) -> str:
    """The name of what is shown when nobody asks for another artifact: the one collected first."""
    return device.main_artifact or "running"


def artifact_names(session: Session, device: Device) -> list[str]:
    """What was ever collected of a device, the first one first."""
    query = (
        select(DeviceRevision.artifact)
        .where(DeviceRevision.device_pk == device.id)
        .group_by(DeviceRevision.artifact)
        .order_by(DeviceRevision.artifact != device.main_artifact, func.min(DeviceRevision.id))
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
    rows = list(session.scalars(query))
    runs = _runs(session, rows)
    return [_revision(row, device, runs.get(row.result_id)) for row in rows]


def revision(
    session: Session, device: Device, *, artifact: str, number: int | None = None, at: datetime | None = None
) -> Revision:
    """One revision with its text: this ``number``, or what was the newest ``at`` a time; else the newest.

    Raises :class:`~devicevault.errors.UsageError`.
    """
    row = _revision_row(session, device, artifact, number, at)
    return _revision(row, device, _runs(session, [row]).get(row.result_id), text_of(row.config))


def revision_before(session: Session, device: Device, *, artifact: str, number: int) -> Revision | None:
    """The newest revision that is kept from before this number, with its text."""
    query = (
        select(DeviceRevision)
        .where(
            DeviceRevision.device_pk == device.id, DeviceRevision.artifact == artifact, DeviceRevision.number < number
        )
        .order_by(DeviceRevision.number.desc())
        .options(joinedload(DeviceRevision.config))
        .limit(1)
    )
    row = session.scalars(query).first()
    return _revision(row, device, _runs(session, [row]).get(row.result_id), text_of(row.config)) if row else None


def thinned_after(session: Session, revision: Revision) -> tuple[int, datetime] | None:
    """Where pruning took out the revisions that followed this one: how many, and when the next was found."""
    row = DeviceRevision
    query = (
        select(row.number, row.collected_at)
        .join(Device, Device.id == row.device_pk)
        .where(Device.device_id == revision.device_id, row.artifact == revision.artifact, row.number > revision.number)
        .order_by(row.number)
        .limit(1)
    )
    following = session.execute(query).first()
    if following is None or following[0] == revision.number + 1:
        return None
    return following[0] - revision.number - 1, following[1]


def original(
    session: Session, device: Device, *, artifact: str, number: int | None = None, at: datetime | None = None
) -> Original:
    """The newest whole original of a revision. Raises :class:`~devicevault.errors.UsageError` when none was kept."""
    row = _revision_row(session, device, artifact, number, at)
    kept = session.scalars(select(SealedOriginal).where(SealedOriginal.revision_id == row.id)).first()
    if kept is None:
        raise UsageError(f"no original was kept of revision {row.number} of {device.name}")
    return Original(row.artifact, row.media_type, row.number, kept.key_id, kept.sealed, kept.collected_at)


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


def _revision_row(
    session: Session, device: Device, artifact: str, number: int | None, at: datetime | None = None
) -> DeviceRevision:
    query = (
        select(DeviceRevision)
        .where(DeviceRevision.device_pk == device.id, DeviceRevision.artifact == artifact)
        .order_by(DeviceRevision.number.desc())
        .options(joinedload(DeviceRevision.config))
        .limit(1)
    )
    if number is not None:
        query = query.where(DeviceRevision.number == number)
    if at is not None:
        query = query.where(DeviceRevision.collected_at <= at)
    row = session.scalars(query).first()
    if row is not None:
        return row
    known = artifact_names(session, device)
    if not known:
        raise UsageError(f"{device.name} was never backed up", f"see: devicevault history {device.name}")
    if artifact not in known:
        raise UsageError(f"{device.name} has no artifact {artifact!r}", f"it has {', '.join(known)}")
    which = f"revision {number}" if number is not None else "revision as old as that"
    raise UsageError(f"{device.name} has no {which}", f"see: devicevault history {device.name}")


def _runs(session: Session, rows: Sequence[DeviceRevision]) -> dict[int, CollectionRun]:
    """The runs that found these revisions, by the revisions' ``result_id``."""
    query = (
        select(DeviceBackupResult.id, CollectionRun)
        .join(CollectionRun, CollectionRun.run_id == DeviceBackupResult.run_id)
        .where(DeviceBackupResult.id.in_({row.result_id for row in rows}))
    )
    return dict(session.execute(query).all())


def _revision(row: DeviceRevision, device: Device, run: CollectionRun | None, text: str = "") -> Revision:
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
        author=row.author,
        authored_at=row.authored_at,
        run_id=run.run_id if run else "",
        asked_by=run.asked_by if run else "",
        text=text,
    )
