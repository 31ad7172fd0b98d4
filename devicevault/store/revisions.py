"""Find out whether a device changed, and number its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from devicevault.messages import Artifact, CollectResult
from devicevault.store.batch import Batch
from devicevault.store.difference import count_changes
from devicevault.store.known import KnownDevice, KnownOriginal, KnownRevision, KnownRow
from devicevault.store.models import Reason
from devicevault.store.rows import storable


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
    batch: Batch, device: KnownDevice, row: KnownRow, artifacts: Sequence[Artifact], read_at: datetime
) -> list[Change]:
    """Store what a success brought home at ``read_at``; tell the revisions it made.

    The texts are proven, but for those of :func:`is_as_it_was`.
    """
    changes: list[Change] = []
    described: list[dict[str, Any]] = []
    for artifact in artifacts:
        if not device.main_artifact:
            device.main_artifact, device.is_touched = storable(artifact.name), True
        latest = device.revisions.get(storable(artifact.name))
        if latest is not None and _is_overtaken(latest, read_at):
            # It was overtaken on its way here: keep the text, but do not present it as the newest state.
            batch.texts.add(artifact)
            described.append(described_artifact(artifact, None))
            continue
        revision = latest
        reason = reason_of(latest, artifact, row.rules_digest)
        if revision is None or reason is not None:
            revision, change = _new_revision(batch, device, row, artifact, reason or Reason.FIRST, read_at)
            device.revisions[revision.artifact] = revision
            changes.append(change)
        _keep_original(revision, artifact, read_at)
        revision.confirmed_at = read_at
        revision.original_digest = storable(artifact.original_digest)
        revision.rules_digest = row.rules_digest
        batch.touch(revision)
        described.append(described_artifact(artifact, revision.number))
    row.write(artifacts=described, changed=bool(changes))
    return changes


def is_as_it_was(latest: KnownRevision | None, artifact: Artifact, rules_digest: str, read_at: datetime) -> bool:
    """Whether an artifact tells nothing but that it has not changed, so that nothing of its text is kept."""
    return (
        latest is not None
        and artifact.size == latest.size
        and reason_of(latest, artifact, rules_digest) is None
        and not _is_overtaken(latest, read_at)
    )


def _is_overtaken(latest: KnownRevision, read_at: datetime) -> bool:
    return read_at < latest.confirmed_at


def reason_of(latest: KnownRevision | None, artifact: Artifact, rules_digest: str) -> Reason | None:
    """Why this reading makes a new revision, or ``None`` when the device is as it was.

    Where other rules made the text and the originals can't be compared either, nobody can tell whether the device
    changed: it is taken for the rules' doing, or one edited page would call every device of a platform changed.
    """
    if latest is None:
        return Reason.FIRST
    is_same = is_same_original(latest, artifact)
    if artifact.digest != latest.digest:
        return Reason.RULES if is_same is not False and rules_digest != latest.rules_digest else Reason.CHANGED
    return Reason.SECRET if is_same is False else None


def is_same_original(latest: KnownRevision, artifact: Artifact) -> bool | None:
    """Whether the device sent the same, by the keyed digests; ``None`` where they can't be compared."""
    before, now = latest.original_digest, artifact.original_digest
    if not before or not now or before.rpartition(":")[0] != now.rpartition(":")[0]:
        return None
    return before == now


def described_artifact(artifact: Artifact, revision_number: int | None) -> dict[str, Any]:
    """What a result's row tells of an artifact; no number where it became no revision."""
    return {
        "name": artifact.name,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "digest": artifact.digest,
        "original_digest": artifact.original_digest,
        "revision": revision_number,
    }


def _new_revision(
    batch: Batch, device: KnownDevice, row: KnownRow, artifact: Artifact, reason: Reason, read_at: datetime
) -> tuple[KnownRevision, Change]:
    name = storable(artifact.name)
    latest = device.revisions.get(name)
    batch.texts.add(artifact)
    added, removed = _counted(batch, latest, artifact)
    author, authored_at = _told_author(device, row) if reason is not Reason.RULES else ("", "")
    revision = KnownRevision(
        id=None,
        device_pk=device.id,
        artifact=name,
        number=latest.number + 1 if latest else 1,
        digest=artifact.digest,
        size=artifact.size,
        original_digest="",
        rules_digest="",
        confirmed_at=read_at,
        new={
            "result_id": row.id,
            "reason": reason.value,
            "added": added,
            "removed": removed,
            "media_type": storable(artifact.media_type),
            "collected_at": read_at,
            "author": author,
            "authored_at": authored_at,
        },
    )
    change = Change(device.name, device.device_id, row.task_id, name, revision.number, reason.value, added, removed)
    return revision, change


def _counted(batch: Batch, latest: KnownRevision | None, artifact: Artifact) -> tuple[int, int]:
    if latest is not None and latest.digest == artifact.digest:
        return 0, 0
    return count_changes(batch.texts.text(latest.digest) if latest else "", batch.texts.text(artifact.digest))


def _told_author(device: KnownDevice, row: KnownRow) -> tuple[str, str]:
    """Who made the change this row found, as far as the device tells: it told of an earlier one before."""
    last, told = device.success, (row.author, row.authored_at)
    return ("", "") if last is not None and told == (last.author, last.authored_at) else told


def _keep_original(revision: KnownRevision, artifact: Artifact, read_at: datetime) -> None:
    """Keep the newest whole original of this revision; one that differs in nothing that counts is not kept again.

    Where secrets are salted anew at each reading, one of them may have been changed: the newest always counts.
    """
    if not artifact.original:
        return
    if revision.original is not None and _is_same_for_sure(revision.original, artifact):
        return
    revision.original = KnownOriginal(
        storable(artifact.original_digest), storable(artifact.key_id), artifact.original, read_at
    )


def _is_same_for_sure(kept: KnownOriginal, artifact: Artifact) -> bool:
    if artifact.is_salted or not artifact.original_digest:
        return False
    return (kept.original_digest, kept.key_id) == (artifact.original_digest, artifact.key_id)
