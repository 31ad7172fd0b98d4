"""What is asked for: runs, their queued rows, and how rows end that no result ends."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from devicevault.messages import CollectRequest, Status
from devicevault.store.devices import new_device, point_to_newest, rename
from devicevault.store.models import CollectionRun, Device, DeviceBackupResult, RunAttachment
from devicevault.store.rows import chunks, insert_missing, locked_by, storable

#: A run's kind whose rows have no message in any queue: another run can't wait for them.
INLINE = "inline"


@dataclass(frozen=True)
class Cancellation:
    """What cancelling a run did."""

    #: Tasks that waited and shall not be done.
    task_ids: tuple[str, ...]
    #: Devices another run asked for as well: their tasks go on, as that run's.
    passed_on: int


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


def queue_requests(
    session: Session, run_id: str, requests: Sequence[CollectRequest], *, attach: bool = False
) -> list[CollectRequest]:
    """Write a ``queued`` row for each request, before it is sent; returns the requests to send.

    With ``attach`` a device whose task of an earlier run still waits gets no second row: this run waits for that
    one, and the request to send is one more message of that task (``repeat``). The devices take the names they
    have now.
    """
    now = datetime.now(UTC)
    in_order = sorted(requests, key=lambda request: request.device_id)
    insert_missing(session, Device, [new_device(request, now) for request in in_order], "device_id")
    devices = locked_by(session, Device, Device.device_id, (request.device_id for request in requests))
    for request in requests:
        rename(devices[request.device_id], request)
    session.flush()
    waiting = _waiting(session, [device.id for device in devices.values()], now) if attach else {}
    to_send: list[CollectRequest] = []
    rows: list[dict[str, object]] = []
    for request in requests:
        device = devices[request.device_id]
        if (row := waiting.get(device.id)) is not None:
            to_send.append(_attached(session, run_id, row, request))
        else:
            to_send.append(request)
            rows.append(_queued(run_id, device, request))
    insert_missing(session, DeviceBackupResult, rows, "task_id")
    point_to_newest(session, run_id)
    session.execute(
        update(CollectionRun)
        .where(CollectionRun.run_id == run_id)
        .values(device_count=CollectionRun.device_count + len(requests))
    )
    return to_send


def mark_undelivered(session: Session, reasons: Mapping[str, str]) -> None:
    """End queued tasks the broker did not take, as failures; ``reasons`` by ``task_id``."""
    end_queued(session, reasons, Status.FAILURE, "internal")


def mark_lost(session: Session, reasons: Mapping[str, str]) -> None:
    """End queued tasks whose result will not be written; ``reasons`` by ``task_id``. A later result outranks it."""
    end_queued(session, reasons, Status.LOST, "lost")


def cancel_run(session: Session, run_id: str, *, by: str) -> Cancellation:
    """End what still waits of a run as ``cancelled``; a task another run asked for too becomes that run's."""
    query = (
        select(DeviceBackupResult)
        .where(DeviceBackupResult.run_id == run_id, DeviceBackupResult.status == Status.QUEUED)
        .order_by(DeviceBackupResult.task_id)
        .with_for_update()
    )
    waiting = list(session.scalars(query))
    others = _attachments(session, [row.id for row in waiting])
    for row in waiting:
        if row.id in others:
            row.run_id = others[row.id].run_id
            session.delete(others[row.id])
    task_ids = tuple(row.task_id for row in waiting if row.id not in others)
    end_queued(session, dict.fromkeys(task_ids, f"cancelled by {by}"), Status.CANCELLED, "")
    left = _detach(session, run_id)
    return Cancellation(task_ids, len(others) + left)


def end_queued(session: Session, reasons: Mapping[str, str], status: Status, error: str) -> list[DeviceBackupResult]:
    """End those of these tasks that are queued still; returns their rows."""
    now = datetime.now(UTC)
    told = {storable(task_id): storable(reason) for task_id, reason in reasons.items()}
    ended: list[DeviceBackupResult] = []
    for task_id, row in locked_by(session, DeviceBackupResult, DeviceBackupResult.task_id, told).items():
        if row.status == Status.QUEUED:
            row.status = status.value
            row.error = error
            row.error_message = told[task_id]
            row.recorded_at = now
            ended.append(row)
    return ended


def _queued(run_id: str, device: Device, request: CollectRequest) -> dict[str, object]:
    return {
        "task_id": request.task_id,
        "run_id": run_id,
        "task_identifier": request.task_identifier,
        "device_pk": device.id,
        "device_name": request.device,
        "platform": request.platform,
        "group": request.group,
        "address": request.address,
        "requested_at": request.requested_at,
        "expires_at": request.expires_at,
    }


def _waiting(session: Session, device_pks: Sequence[int], now: datetime) -> dict[int, DeviceBackupResult]:
    """The newest task of each device that waits in a queue and is worth doing still, locked."""
    found: dict[int, DeviceBackupResult] = {}
    for some in chunks(device_pks):
        query = (
            select(DeviceBackupResult)
            .join(CollectionRun, CollectionRun.run_id == DeviceBackupResult.run_id)
            .where(
                DeviceBackupResult.device_pk.in_(some),
                DeviceBackupResult.status == Status.QUEUED,
                or_(DeviceBackupResult.expires_at.is_(None), DeviceBackupResult.expires_at > now),
                CollectionRun.kind != INLINE,
            )
            .order_by(DeviceBackupResult.task_id)
            .with_for_update(of=DeviceBackupResult)
        )
        for row in session.scalars(query):
            known = found.get(row.device_pk)
            if known is None or row.id > known.id:
                found[row.device_pk] = row
    return found


def _attached(session: Session, run_id: str, row: DeviceBackupResult, request: CollectRequest) -> CollectRequest:
    session.add(RunAttachment(run_id=run_id, result_id=row.id))
    row.repeats += 1
    if row.expires_at is not None and request.expires_at is not None:
        row.expires_at = max(row.expires_at, request.expires_at)
    return request.model_copy(
        update={
            "task_id": row.task_id,
            "run_id": row.run_id or "",
            "task_identifier": row.task_identifier,
            "repeat": row.repeats,
        }
    )


def _attachments(session: Session, result_ids: Sequence[int]) -> dict[int, RunAttachment]:
    """For each of these rows the attachment of one other run, where there is any."""
    found: dict[int, RunAttachment] = {}
    for some in chunks(result_ids):
        query = select(RunAttachment).where(RunAttachment.result_id.in_(some)).order_by(RunAttachment.run_id)
        for attachment in session.scalars(query):
            found.setdefault(attachment.result_id, attachment)
    return found


def _detach(session: Session, run_id: str) -> int:
    """Let a run wait no more for tasks of other runs; tells how many there were."""
    queued: Collection[int] = list(
        session.scalars(
            select(RunAttachment.result_id)
            .join(DeviceBackupResult, DeviceBackupResult.id == RunAttachment.result_id)
            .where(RunAttachment.run_id == run_id, DeviceBackupResult.status == Status.QUEUED)
        )
    )
    for some in chunks(list(queued)):
        session.execute(delete(RunAttachment).where(RunAttachment.run_id == run_id, RunAttachment.result_id.in_(some)))
    return len(queued)
