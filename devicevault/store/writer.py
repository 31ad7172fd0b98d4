"""Write what is asked for and what became of it.

Writing the same result twice changes nothing. Of two results of one task ``success`` outranks every other;
among the rest the first stands, but ``lost`` and ``expired`` yield to anything that arrives.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from devicevault.messages import CollectRequest, CollectResult, Status
from devicevault.store.engine import Store
from devicevault.store.models import CollectionRun, Device, DeviceBackupResult
from devicevault.store.revisions import Change, record_artifacts
from devicevault.store.rows import insert_missing, locked_by, storable

_RANK: Final[Mapping[str, int]] = {Status.QUEUED: 0, Status.LOST: 1, Status.EXPIRED: 2, Status.SUCCESS: 4}
_OTHER_RANK: Final = 3


@dataclass
class WriteReport:
    """What a batch of results did."""

    #: Tasks whose rows got their final status, or a better one.
    written: list[str] = field(default_factory=list)
    #: Results that changed nothing: their task had ended in a way that stands.
    ignored: int = 0
    changes: list[Change] = field(default_factory=list)


def outranks(new: str, old: str) -> bool:
    """Whether a task whose row says ``old`` shall say ``new``."""
    return _RANK.get(new, _OTHER_RANK) > _RANK.get(old, _OTHER_RANK)


def open_run(session: Session, *, asked_by: str, kind: str = "manual", requested_at: datetime | None = None) -> str:
    """Open a collection run and return its ``run_id``. ``kind``: ``manual``, ``scheduled`` or ``inline``."""
    run_id = uuid.uuid4().hex
    session.add(
        CollectionRun(
            run_id=run_id,
            kind=kind,
            asked_by=storable(asked_by),
            requested_at=requested_at or datetime.now(UTC),
            device_count=0,
        )
    )
    session.flush()
    return run_id


def queue_requests(session: Session, run_id: str, requests: Sequence[CollectRequest]) -> None:
    """Write a ``queued`` row for each request, before it is sent. The devices take the names they have now."""
    now = datetime.now(UTC)
    in_order = sorted(requests, key=lambda request: request.device_id)
    insert_missing(session, Device, [_new_device(request, now) for request in in_order], "device_id")
    devices = locked_by(session, Device, Device.device_id, (request.device_id for request in requests))
    for request in requests:
        _rename(devices[request.device_id], request)
    session.flush()
    rows = [
        {
            "task_id": request.task_id,
            "run_id": run_id,
            "task_identifier": request.task_identifier,
            "device_pk": devices[request.device_id].id,
            "device_name": request.device,
            "platform": request.platform,
            "group": request.group,
            "address": request.address,
            "requested_at": request.requested_at,
            "expires_at": request.expires_at,
        }
        for request in requests
    ]
    insert_missing(session, DeviceBackupResult, rows, "task_id")
    _point_to_newest(session, run_id, devices.values())
    session.execute(
        update(CollectionRun)
        .where(CollectionRun.run_id == run_id)
        .values(device_count=CollectionRun.device_count + len(requests))
    )


def write_results(store: Store, results: Sequence[CollectResult]) -> WriteReport:
    """Write a batch of results in one transaction.

    A result of a task nobody queued gets a row as well. Raises :class:`~devicevault.errors.ServiceUnavailable`,
    and nothing is written then.
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
            if not outranks(result.status, row.status):
                report.ignored += 1
                continue
            report.written.append(result.task_id)
            _finish(row, result)
            device = devices[storable(result.device_id)]
            if result.status == Status.SUCCESS:
                report.changes += record_artifacts(session, device, row, result)
                _pin_host_key(device, row)
            _note_newest(session, device, row)
    return report


def mark_undelivered(session: Session, reasons: Mapping[str, str]) -> None:
    """End queued tasks the broker did not take, as failures; ``reasons`` by ``task_id``."""
    _end_queued(session, reasons, Status.FAILURE, "internal")


def mark_lost(session: Session, reasons: Mapping[str, str]) -> None:
    """End queued tasks whose result will not be written; ``reasons`` by ``task_id``. A later result outranks it."""
    _end_queued(session, reasons, Status.LOST, "lost")


def forget_host_key(session: Session, device: Device) -> None:
    """Let the next session pin the key it sees."""
    device.host_key = ""
    device.host_key_seen_at = None
    session.add(device)


def _end_queued(session: Session, reasons: Mapping[str, str], status: Status, error: str) -> None:
    now = datetime.now(UTC)
    for task_id, row in locked_by(session, DeviceBackupResult, DeviceBackupResult.task_id, reasons).items():
        if row.status == Status.QUEUED:
            row.status = status.value
            row.error = error
            row.error_message = storable(reasons[task_id])
            row.recorded_at = now


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
    new = [_new_device(result, now) for device_id, result in sorted(wanted.items()) if device_id not in known]
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


def _finish(row: DeviceBackupResult, result: CollectResult) -> None:
    row.status = storable(result.status)
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
    row.completeness = storable(result.completeness)
    row.is_binary = result.is_binary


def _pin_host_key(device: Device, row: DeviceBackupResult) -> None:
    """Pin the key of the first session that succeeded: one that only failed may have met a stranger."""
    if row.host_key and not device.host_key:
        device.host_key = row.host_key
        device.host_key_seen_at = row.recorded_at


def _note_newest(session: Session, device: Device, row: DeviceBackupResult) -> None:
    if _is_newer(session, row, device.latest_result_id):
        device.latest_result_id = row.id
    if row.status == Status.SUCCESS and _is_newer(session, row, device.last_success_id):
        device.last_success_id = row.id


def _is_newer(session: Session, row: DeviceBackupResult, than_id: int | None) -> bool:
    than = session.get(DeviceBackupResult, than_id) if than_id is not None else None
    return than is None or (row.requested_at, row.id) >= (than.requested_at, than.id)


def _point_to_newest(session: Session, run_id: str, devices: Iterable[Device]) -> None:
    """Make the rows of this run the newest ones of their devices."""
    query = (
        select(DeviceBackupResult.device_pk, func.max(DeviceBackupResult.id))
        .where(DeviceBackupResult.run_id == run_id)
        .group_by(DeviceBackupResult.device_pk)
    )
    newest = dict(session.execute(query).all())
    for device in devices:
        device.latest_result_id = newest.get(device.id, device.latest_result_id)


def _new_device(message: CollectRequest | CollectResult, now: datetime) -> dict[str, object]:
    return {
        "device_id": storable(message.device_id),
        "name": storable(message.device),
        "platform": storable(message.platform),
        "group": storable(message.group),
        "first_seen_at": now,
    }


def _rename(device: Device, request: CollectRequest) -> None:
    device.name = request.device
    device.platform = request.platform
    device.group = request.group
