"""Runs, devices and rows that are not there though a result tells of them: of a restored database, or of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from devicevault.messages import CollectResult
from devicevault.store.devices import new_device
from devicevault.store.known import KnownDevice
from devicevault.store.models import CollectionRun, Device, DeviceBackupResult
from devicevault.store.rows import insert_missing, one_of, storable


def ensure_runs(session: Session, results: Sequence[CollectResult]) -> None:
    """Runs only results tell of: the database was restored from an older state, say."""
    wanted = {storable(result.run_id): result for result in results if result.run_id}
    known = _known(session, CollectionRun.run_id, wanted)
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


def ensure_devices(session: Session, results: Sequence[CollectResult]) -> None:
    """Devices only results tell of."""
    wanted = {storable(result.device_id): result for result in results}
    known = _known(session, Device.device_id, wanted)
    now = datetime.now(UTC)
    new = [new_device(result, now) for device_id, result in sorted(wanted.items()) if device_id not in known]
    insert_missing(session, Device, new, "device_id")


def ensure_rows(session: Session, results: Sequence[CollectResult], devices: Mapping[str, KnownDevice]) -> None:
    """Rows of tasks nobody queued. ``devices`` are those of the results, by ``device_id``."""
    now = datetime.now(UTC)
    wanted = {storable(result.task_id): result for result in results}
    known = _known(session, DeviceBackupResult.task_id, wanted)
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


def _known(session: Session, column: InstrumentedAttribute[str], wanted: Iterable[str]) -> set[str]:
    """Those of the wanted values that are there."""
    keys = list(wanted)
    return set(session.scalars(select(column).where(one_of(column)), {"keys": keys})) if keys else set()
