"""Texts that look wrong next to the device's last good one: held, never silently the new truth.

A worker proves each configuration whole by itself; here it is compared with what is known of the device. A text that
shrank too much is *held* beside the history, the newest one of each device, until a person accepts it or a good one
arrives.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from devicevault.described import described_bytes
from devicevault.messages import Artifact, CollectResult, LogLine, Status
from devicevault.store.devices import note_newest, pin_host_key
from devicevault.store.models import Device, DeviceBackupResult, HeldArtifact
from devicevault.store.revisions import (
    Change,
    collected_at,
    config_of,
    described_artifact,
    is_same_original,
    latest_revision,
    record_artifacts,
    text_of,
)
from devicevault.store.rows import locked_by, storable


def suspicion(session: Session, device: Device, result: CollectResult, suspect_shrink: float) -> str:
    """Why this success can't be trusted, with what to do, or an empty string.

    Of a file, its own size counts. A text that is shorter only because of other rules (the original is the same) is
    not suspect.
    """
    for artifact in result.artifacts:
        latest = latest_revision(session, device, storable(artifact.name))
        if latest is None or is_same_original(latest, artifact):
            continue
        last_good, size = latest.config.size, artifact.size
        if (file_bytes := described_bytes(artifact.text)) is not None:
            last_good, size = described_bytes(text_of(latest.config)) or 0, file_bytes
        if size < last_good * (1 - suspect_shrink):
            share = 100 * (last_good - size) // last_good
            return (
                f"{artifact.name} shrank by {share} %, from {last_good} to {size} bytes; look at it with "
                f"`devicevault diff {result.device} --suspect`, and if it is right: devicevault accept {result.device}"
            )
    return ""


def hold(session: Session, device: Device, row: DeviceBackupResult, result: CollectResult) -> None:
    """Keep what a suspect collection brought home, in place of an older one of the device."""
    read_at = collected_at(result)
    row.artifacts = [described_artifact(artifact, None) for artifact in result.artifacts]
    release(session, device, read_at)
    if _is_overtaken(session, device, result, read_at):
        return
    for artifact in result.artifacts:
        session.add(
            HeldArtifact(
                device_pk=device.id,
                result_id=row.id,
                artifact=storable(artifact.name),
                config_id=config_of(session, artifact).id,
                media_type=storable(artifact.media_type),
                original_digest=storable(artifact.original_digest),
                key_id=storable(artifact.key_id),
                sealed=artifact.original,
                collected_at=read_at,
            )
        )
    session.flush()


def release(session: Session, device: Device, read_at: datetime) -> None:
    """Forget what is held of a device and was read no later than ``read_at``: something newer came."""
    session.execute(
        delete(HeldArtifact).where(HeldArtifact.device_pk == device.id, HeldArtifact.collected_at <= read_at)
    )


def held_artifacts(session: Session, device: Device) -> list[HeldArtifact]:
    """What is held of a device, in the order it was collected, with its texts."""
    query = (
        select(HeldArtifact)
        .where(HeldArtifact.device_pk == device.id)
        .order_by(HeldArtifact.id)
        .options(joinedload(HeldArtifact.config))
    )
    return list(session.scalars(query))


def accept(session: Session, device: Device, *, by: str) -> list[Change]:
    """Take what is held of a device as its newest good configuration; the revisions that makes.

    Nothing happens where nothing is held.
    """
    device = locked_by(session, Device, Device.device_id, [device.device_id])[device.device_id]
    held = held_artifacts(session, device)
    if not held:
        return []
    row = session.get_one(DeviceBackupResult, held[0].result_id, with_for_update=True)
    changes = record_artifacts(session, device, row, [_artifact(one) for one in held], held[0].collected_at)
    row.status = Status.SUCCESS.value
    row.error_message = ""
    accepted = LogLine(time=datetime.now(UTC), message=f"accepted by {storable(by)}")
    row.log = [*row.log, accepted.model_dump(mode="json")]
    release(session, device, held[0].collected_at)
    pin_host_key(device, row)
    note_newest(session, device, row)
    return changes


def _is_overtaken(session: Session, device: Device, result: CollectResult, read_at: datetime) -> bool:
    """Whether something newer of this device is known, good or held."""
    newer_held = select(HeldArtifact.id).where(HeldArtifact.device_pk == device.id).limit(1)
    if session.scalars(newer_held).first() is not None:
        return True
    latest = [latest_revision(session, device, storable(artifact.name)) for artifact in result.artifacts]
    return any(revision is not None and read_at < revision.confirmed_at for revision in latest)


def _artifact(held: HeldArtifact) -> Artifact:
    known: dict[str, Any] = {
        "name": held.artifact,
        "media_type": held.media_type,
        "size": held.config.size,
        "digest": held.config.digest,
        "original_digest": held.original_digest,
        "text": text_of(held.config),
        "original": held.sealed,
        "key_id": held.key_id,
    }
    return Artifact.model_validate(known)
