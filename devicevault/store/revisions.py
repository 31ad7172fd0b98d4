"""Find out whether a device changed, and number its states."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, defer, joinedload

from devicevault.messages import Artifact, CollectResult
from devicevault.store.difference import count_changes
from devicevault.store.models import (
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    Reason,
    SealedOriginal,
)
from devicevault.store.rows import insert_missing, storable


@dataclass(frozen=True)
class Change:
    """A new revision of one artifact of a device."""

    device: str
    device_id: str
    task_id: str
    artifact: str
    number: int
    reason: str
    #: Lines against the revision before.
    added: int
    removed: int


def collected_at(result: CollectResult) -> datetime:
    """When the device was read, by the worker's clock: one that is ahead must not make later results look overtaken."""
    return min(result.started_at or result.initiated_at, datetime.now(UTC))


def record_artifacts(
    session: Session, device: Device, row: DeviceBackupResult, artifacts: Sequence[Artifact], read_at: datetime
) -> list[Change]:
    """Store what a success brought home at ``read_at``; tell the revisions it made."""
    changes: list[Change] = []
    described: list[dict[str, Any]] = []
    for artifact in artifacts:
        device.main_artifact = device.main_artifact or storable(artifact.name)
        latest = latest_revision(session, device, storable(artifact.name))
        if latest is not None and read_at < latest.confirmed_at:
            # It was overtaken on its way here: keep the text, but do not present it as the newest state.
            config_of(session, artifact)
            described.append(described_artifact(artifact, None))
            continue
        revision = latest
        reason = reason_of(latest, artifact, row.rules_digest)
        if revision is None or reason is not None:
            revision = _add_revision(session, device, row, artifact, latest, reason or Reason.FIRST, read_at)
            changes.append(_change(device, row, revision))
        _keep_original(session, revision, artifact, read_at)
        revision.confirmed_at = read_at
        revision.original_digest = storable(artifact.original_digest)
        revision.rules_digest = row.rules_digest
        described.append(described_artifact(artifact, revision.number))
    row.artifacts = described
    row.changed = bool(changes)
    return changes


def text_of(config: DeviceConfig) -> str:
    """The normalised text."""
    return zlib.decompress(config.compressed).decode()


def latest_revision(session: Session, device: Device, artifact: str) -> DeviceRevision | None:
    """The newest good state of one artifact, without its text."""
    query = (
        select(DeviceRevision)
        .where(DeviceRevision.device_pk == device.id, DeviceRevision.artifact == artifact)
        .order_by(DeviceRevision.number.desc())
        .limit(1)
        .options(joinedload(DeviceRevision.config).defer(DeviceConfig.compressed))
    )
    return session.scalars(query).first()


def reason_of(latest: DeviceRevision | None, artifact: Artifact, rules_digest: str) -> Reason | None:
    """Why this reading makes a new revision, or ``None`` when the device is as it was.

    Where other rules made the text and the originals can't be compared either, nobody can tell whether the device
    changed: it is taken for the rules' doing, or one edited page would call every device of a platform changed.
    """
    if latest is None:
        return Reason.FIRST
    is_same = is_same_original(latest, artifact)
    if artifact.digest != latest.config.digest:
        return Reason.RULES if is_same is not False and rules_digest != latest.rules_digest else Reason.CHANGED
    return Reason.SECRET if is_same is False else None


def is_same_original(latest: DeviceRevision, artifact: Artifact) -> bool | None:
    """Whether the device sent the same, by the keyed digests; ``None`` where they can't be compared."""
    before, now = latest.original_digest, artifact.original_digest
    if not before or not now or before.rpartition(":")[0] != now.rpartition(":")[0]:
        return None
    return before == now


def _add_revision(
    session: Session,
    device: Device,
    row: DeviceBackupResult,
    artifact: Artifact,
    latest: DeviceRevision | None,
    reason: Reason,
    read_at: datetime,
) -> DeviceRevision:
    added, removed = count_changes(text_of(latest.config) if latest else "", artifact.text)
    author, authored_at = _told_author(session, device, row) if reason is not Reason.RULES else ("", "")
    revision = DeviceRevision(
        device_pk=device.id,
        artifact=storable(artifact.name),
        number=latest.number + 1 if latest else 1,
        config=config_of(session, artifact),
        result_id=row.id,
        reason=reason.value,
        added=added,
        removed=removed,
        media_type=storable(artifact.media_type),
        collected_at=read_at,
        confirmed_at=read_at,
        author=author,
        authored_at=authored_at,
    )
    session.add(revision)
    session.flush()
    return revision


def _told_author(session: Session, device: Device, row: DeviceBackupResult) -> tuple[str, str]:
    """Who made the change this row found, as far as the device tells: it told of an earlier one before."""
    last = session.get(DeviceBackupResult, device.last_success_id) if device.last_success_id else None
    told = (row.author, row.authored_at)
    return ("", "") if last is not None and told == (last.author, last.authored_at) else told


def config_of(session: Session, artifact: Artifact) -> DeviceConfig:
    """The row of this text, made when no device had it before."""
    query = select(DeviceConfig).where(DeviceConfig.digest == artifact.digest).options(defer(DeviceConfig.compressed))
    # Held until the revision stands: pruning would take a text that nothing else has.
    query = query.with_for_update(read=True, key_share=True)
    known = session.scalars(query).first()
    if known is not None:
        return known
    raw = artifact.text.encode()
    row = {"digest": artifact.digest, "size": len(raw), "compressed": zlib.compress(raw)}
    insert_missing(session, DeviceConfig, [row], "digest")
    return session.scalars(query).one()


def _keep_original(session: Session, revision: DeviceRevision, artifact: Artifact, read_at: datetime) -> None:
    """Keep the newest whole original of this revision; one that differs in nothing that counts is not kept again.

    Where secrets are salted anew at each reading, one of them may have been changed: the newest always counts.
    """
    if not artifact.original:
        return
    kept = session.scalars(
        select(SealedOriginal).where(SealedOriginal.revision_id == revision.id).options(defer(SealedOriginal.sealed))
    ).first()
    if kept is None:
        kept = SealedOriginal(revision_id=revision.id)
        session.add(kept)
    elif _is_same_for_sure(kept, artifact):
        return
    kept.key_id = storable(artifact.key_id)
    kept.original_digest = storable(artifact.original_digest)
    kept.sealed = artifact.original
    kept.collected_at = read_at
    session.flush()


def _is_same_for_sure(kept: SealedOriginal, artifact: Artifact) -> bool:
    if artifact.is_salted or not artifact.original_digest:
        return False
    return (kept.original_digest, kept.key_id) == (artifact.original_digest, artifact.key_id)


def described_artifact(artifact: Artifact, revision_number: int | None) -> dict[str, Any]:
    """What a result's row tells of an artifact; no number where it became no revision."""
    known = artifact.model_dump(mode="json", include={"name", "media_type", "size", "digest", "original_digest"})
    return {**known, "revision": revision_number}


def _change(device: Device, row: DeviceBackupResult, revision: DeviceRevision) -> Change:
    return Change(
        device=device.name,
        device_id=device.device_id,
        task_id=row.task_id,
        artifact=revision.artifact,
        number=revision.number,
        reason=revision.reason,
        added=revision.added,
        removed=revision.removed,
    )
