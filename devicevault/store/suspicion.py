"""Texts that look wrong next to the device's last good one: held, never silently the new truth.

A worker proves each configuration whole by itself; here it is compared with what is known of the device. A text that
shrank too much is *held* beside the history, the newest one of each device, until a person accepts it or a good one
arrives.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from devicevault.described import MAX_BYTES, described_bytes
from devicevault.messages import Artifact, CollectResult, LogLine, Status
from devicevault.store.batch import Batch
from devicevault.store.devices import note_newest, pin_host_key
from devicevault.store.known import KnownDevice, KnownHeld, KnownRow, known_row
from devicevault.store.models import Device, DeviceBackupResult, HeldArtifact
from devicevault.store.revisions import (
    Change,
    collected_at,
    described_artifact,
    is_same_original,
    record_artifacts,
)
from devicevault.store.rows import storable


def suspicion(batch: Batch, device: KnownDevice, result: CollectResult, suspect_shrink: float) -> str:
    """Why this success can't be trusted, with what to do, or an empty string.

    Of a file, its own size counts. A text that is shorter only because of other rules (the original is the same) is
    not suspect. Texts that differ from the last good ones are proven (:meth:`Texts.prove`) before.
    """
    for artifact in result.artifacts:
        latest = device.revisions.get(storable(artifact.name))
        if latest is None or artifact.digest == latest.digest or is_same_original(latest, artifact):
            continue
        last_good, size = latest.size, artifact.size
        file_bytes = described_bytes(batch.texts.text(artifact.digest)) if artifact.size <= MAX_BYTES else None
        if file_bytes is not None:
            last_good, size = described_bytes(batch.texts.text(latest.digest)) or 0, file_bytes
        if size < last_good * (1 - suspect_shrink):
            share = 100 * (last_good - size) // last_good
            return (
                f"{artifact.name} shrank by {share} %, from {last_good} to {size} bytes; look at it with "
                f"`devicevault diff {result.device} --suspect`, and if it is right: devicevault accept {result.device}"
            )
    return ""


def hold(batch: Batch, device: KnownDevice, row: KnownRow, result: CollectResult) -> None:
    """Keep what a suspect collection brought home, in place of an older one of the device."""
    read_at = collected_at(result)
    row.write(artifacts=[described_artifact(artifact, None) for artifact in result.artifacts])
    release(device, read_at)
    if _is_overtaken(device, result, read_at):
        return
    for artifact in result.artifacts:
        batch.texts.add(artifact)
        new = {
            "result_id": row.id,
            "artifact": storable(artifact.name),
            "media_type": storable(artifact.media_type),
            "original_digest": storable(artifact.original_digest),
            "key_id": storable(artifact.key_id),
            "sealed": artifact.original,
            "collected_at": read_at,
        }
        device.held.append(KnownHeld(None, read_at, artifact.digest, new))


def release(device: KnownDevice, read_at: datetime) -> None:
    """Forget what is held of a device and was read no later than ``read_at``: something newer came."""
    device.released += [held.id for held in device.held if held.collected_at <= read_at and held.id is not None]
    device.held = [held for held in device.held if held.collected_at > read_at]


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
    batch = Batch(session)
    batch.lock_devices([device.device_id])
    held = held_artifacts(session, device)
    if not held:
        return []
    known = batch.devices[device.device_id]
    stored = session.get_one(DeviceBackupResult, held[0].result_id, with_for_update=True)
    row = batch.rows[stored.task_id] = known_row(stored)
    changes = record_artifacts(batch, known, row, [_artifact(one) for one in held], held[0].collected_at)
    accepted = LogLine(time=datetime.now(UTC), message=f"accepted by {storable(by)}")
    row.write(status=Status.SUCCESS.value, error_message="", log=[*stored.log, accepted.model_dump(mode="json")])
    release(known, held[0].collected_at)
    pin_host_key(known, row)
    note_newest(known, row)
    batch.write()
    return changes


def _is_overtaken(device: KnownDevice, result: CollectResult, read_at: datetime) -> bool:
    """Whether something newer of this device is known, good or held."""
    latest = [device.revisions.get(storable(artifact.name)) for artifact in result.artifacts]
    return bool(device.held) or any(one is not None and read_at < one.confirmed_at for one in latest)


def _artifact(held: HeldArtifact) -> Artifact:
    known: dict[str, Any] = {
        "name": held.artifact,
        "media_type": held.media_type,
        "size": held.config.size,
        "digest": held.config.digest,
        "original_digest": held.original_digest,
        "compressed": held.config.compressed,
        "original": held.sealed,
        "key_id": held.key_id,
    }
    return Artifact.model_validate(known)
