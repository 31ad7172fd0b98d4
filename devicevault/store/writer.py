"""Write what became of collections.

Writing the same result twice changes nothing. Of two results of one task ``success`` outranks every other, and
``suspect`` all but that; among the rest the first stands, but ``lost`` and ``expired`` yield to anything that arrives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from devicevault.messages import CollectResult, Status
from devicevault.settings import ConsumerSettings
from devicevault.store.devices import new_device, note_newest, pin_host_key
from devicevault.store.engine import Store
from devicevault.store.models import CollectionRun, Device, DeviceBackupResult
from devicevault.store.revisions import Change, collected_at, record_artifacts
from devicevault.store.rows import insert_missing, locked_by, storable
from devicevault.store.suspicion import hold, release, suspicion

_RANK: Final[Mapping[str, int]] = {
    Status.QUEUED: 0,
    Status.LOST: 1,
    Status.EXPIRED: 2,
    Status.SUSPECT: 4,
    Status.SUCCESS: 5,
}
_OTHER_RANK: Final = 3

SUSPECT_SHRINK: Final[float] = ConsumerSettings().suspect_shrink


@dataclass
class WriteReport:
    """What a batch of results did."""

    #: Tasks whose rows got their final status, or a better one.
    written: list[str] = field(default_factory=list)
    #: Results that changed nothing: their task had ended in a way that stands.
    ignored: int = 0
    changes: list[Change] = field(default_factory=list)
    #: Why what a task brought home was held instead of taken, by ``task_id``.
    suspects: dict[str, str] = field(default_factory=dict)


def outranks(new: str, old: str) -> bool:
    """Whether a task whose row says ``old`` shall say ``new``."""
    return _RANK.get(new, _OTHER_RANK) > _RANK.get(old, _OTHER_RANK)


def write_results(
    store: Store, results: Sequence[CollectResult], *, suspect_shrink: float = SUSPECT_SHRINK
) -> WriteReport:
    """Write a batch of results in one transaction.

    A result of a task nobody queued gets a row as well. A success with a text more than ``suspect_shrink`` (a share)
    smaller than the last good one is written as ``suspect``. Raises
    :class:`~devicevault.errors.ServiceUnavailable`, and nothing is written then.
    """
    report = WriteReport()
    if not results:
        return report
    with store.session() as session:
        _ensure_runs(session, results)
        devices = _ensure_devices(session, results)
        rows = _ensure_rows(session, results, devices)
        for result in results:
            row = rows[storable(result.task_id)]
            _write(session, devices[storable(result.device_id)], row, result, suspect_shrink, report)
    return report


def _write(
    session: Session,
    device: Device,
    row: DeviceBackupResult,
    result: CollectResult,
    suspect_shrink: float,
    report: WriteReport,
) -> None:
    is_success = result.status == Status.SUCCESS
    reason = suspicion(session, device, result, suspect_shrink) if is_success else ""
    status = Status.SUSPECT if reason else result.status
    if not outranks(status, row.status) or _is_expired_too_early(row, result):
        report.ignored += 1
        return
    report.written.append(result.task_id)
    _finish(row, result, status)
    if reason:
        row.error_message = storable(reason)
        report.suspects[result.task_id] = reason
        hold(session, device, row, result)
    elif is_success:
        report.changes += record_artifacts(session, device, row, result.artifacts, collected_at(result))
        release(session, device, collected_at(result))
        pin_host_key(device, row)
    note_newest(session, device, row)


def _is_expired_too_early(row: DeviceBackupResult, result: CollectResult) -> bool:
    """Whether only the first message of a task expired that was asked for again: the later one is on its way."""
    return (
        result.status == Status.EXPIRED
        and row.repeats > 0
        and row.expires_at is not None
        and row.expires_at > datetime.now(UTC)
    )


def _ensure_runs(session: Session, results: Sequence[CollectResult]) -> None:
    """Runs only results tell of: the database was restored from an older state, say."""
    wanted = {storable(result.run_id): result for result in results if result.run_id}
    known = set(session.scalars(select(CollectionRun.run_id).where(CollectionRun.run_id.in_(wanted))))
    rows = [
        {
            "run_id": run_id,
            "kind": result.task_identifier.partition(":")[0] or "unknown",
            "requested_at": result.initiated_at,
        }
        for run_id, result in sorted(wanted.items())
        if run_id not in known
    ]
    insert_missing(session, CollectionRun, rows, "run_id")


def _ensure_devices(session: Session, results: Sequence[CollectResult]) -> dict[str, Device]:
    wanted = {storable(result.device_id): result for result in results}
    known = set(session.scalars(select(Device.device_id).where(Device.device_id.in_(wanted))))
    now = datetime.now(UTC)
    new = [new_device(result, now) for device_id, result in sorted(wanted.items()) if device_id not in known]
    insert_missing(session, Device, new, "device_id")
    return locked_by(session, Device, Device.device_id, wanted)


def _ensure_rows(
    session: Session, results: Sequence[CollectResult], devices: Mapping[str, Device]
) -> dict[str, DeviceBackupResult]:
    now = datetime.now(UTC)
    wanted = {storable(result.task_id): result for result in results}
    known = set(session.scalars(select(DeviceBackupResult.task_id).where(DeviceBackupResult.task_id.in_(wanted))))
    new = [
        {
            "task_id": task_id,
            "run_id": storable(result.run_id) or None,
            "task_identifier": storable(result.task_identifier),
            "device_pk": devices[storable(result.device_id)].id,
            "device_name": storable(result.device),
            "platform": storable(result.platform),
            "group": storable(result.group),
            "requested_at": min(result.initiated_at, now),
        }
        for task_id, result in sorted(wanted.items())
        if task_id not in known
    ]
    insert_missing(session, DeviceBackupResult, new, "task_id")
    return locked_by(session, DeviceBackupResult, DeviceBackupResult.task_id, wanted)


def _finish(row: DeviceBackupResult, result: CollectResult, status: str) -> None:
    row.status = storable(status)
    row.error = storable(result.error)
    row.error_message = storable(result.error_message)
    row.log = [line.model_dump(mode="json") for line in result.log]
    row.attempt = result.attempt
    row.started_at = result.started_at
    row.recorded_at = datetime.now(UTC)
    row.collection_duration_ms = result.collection_duration_ms
    row.worker = storable(result.worker)
    row.worker_version = storable(result.worker_version)
    row.rules_digest = storable(result.rules_digest)
    row.host_key = storable(result.host_key)
    row.address = storable(result.address) or row.address
    row.model = storable(result.facts.model)
    row.version = storable(result.facts.version)
    row.serial = storable(result.facts.serial)
    row.author = storable(result.facts.author)
    row.authored_at = storable(result.facts.authored_at)
    row.completeness = storable(result.completeness)
    row.is_binary = result.is_binary
