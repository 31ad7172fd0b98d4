"""Delete results, the steps they tell, and runs, once they are old.

The table is gone through once, a window of ids at a time: the cost grows with the rows and not faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, cast, delete, exists, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from devicevault.messages import Status
from devicevault.settings import RetentionSettings
from devicevault.store.models import (
    CollectionRun,
    Device,
    DeviceBackupResult,
    DeviceRevision,
    HeldArtifact,
    RunAttachment,
)
from devicevault.store.retention.tally import Kind, Tally
from devicevault.store.rows import chunks

#: Bytes of a result's row besides its log and its artifacts, and of a run's, with their shares of the indexes.
RESULT_BYTES: Final = 560
RUN_BYTES: Final = 260


@dataclass
class Gone:
    """Results that would be gone, as far as a dry run can only tell by noting them."""

    #: Those that nothing but revisions kept, which are to go.
    freed: Collection[int] = ()
    ids: set[int] = field(default_factory=set)
    by_run: Counter[str] = field(default_factory=Counter)


def last_result(session: Session) -> tuple[int, int]:
    """The first and the last id there is; 0 and -1 where there is none."""
    first, last = session.execute(select(func.min(DeviceBackupResult.id), func.max(DeviceBackupResult.id))).one()
    return (0, -1) if first is None else (first, last)


def going_results(
    session: Session, ids: range, retention: RetentionSettings, now: datetime, freed: Collection[int]
) -> dict[int, int]:
    """Those of these ids that go, with their bytes: they made nothing that is kept, and are no device's newest."""
    if not retention.results_days:
        return {}
    result = DeviceBackupResult
    size = RESULT_BYTES + _length(result.log) + _length(result.artifacts) + func.length(result.error_message)
    query = _ended(select(result.id, size), ids, now - timedelta(days=retention.results_days)).where(
        ~exists().where(HeldArtifact.result_id == result.id)
    )
    made_nothing = ~exists().where(DeviceRevision.result_id == result.id)
    going = dict(session.execute(query.where(made_nothing)).all())
    also = [one for one in freed if one in ids]
    if also:
        going.update(session.execute(query.where(result.id.in_(also))).all())
    return going


def going_logs(session: Session, ids: range, retention: RetentionSettings, now: datetime) -> dict[int, int]:
    """Those of these ids whose steps go, with the steps' bytes."""
    if not retention.logs_days:
        return {}
    size = _length(DeviceBackupResult.log)
    query = _ended(select(DeviceBackupResult.id, size), ids, now - timedelta(days=retention.logs_days))
    return dict(session.execute(query.where(size > len("null"))).all())


def remove_results(session: Session, sizes: dict[int, int], tally: Tally) -> None:
    """Delete these results."""
    ids = _not_in_use(session, list(sizes))
    session.execute(delete(RunAttachment).where(RunAttachment.result_id.in_(ids)))
    session.execute(delete(DeviceBackupResult).where(DeviceBackupResult.id.in_(ids)))
    tally[Kind.RESULTS].add(len(ids), sum(sizes[one] for one in ids))


def remove_logs(session: Session, sizes: dict[int, int], tally: Tally) -> None:
    """Empty the steps of these results."""
    ids = _not_in_use(session, list(sizes))
    session.execute(update(DeviceBackupResult).where(DeviceBackupResult.id.in_(ids)).values(log=[]))
    tally[Kind.LOGS].add(len(ids), sum(sizes[one] for one in ids))


def count_results(session: Session, sizes: dict[int, int], gone: Gone, tally: Tally) -> None:
    """Tell what deleting these results would take."""
    tally[Kind.RESULTS].add(len(sizes), sum(sizes.values()))
    gone.ids.update(sizes)
    query = select(DeviceBackupResult.run_id).where(DeviceBackupResult.id.in_(sizes))
    gone.by_run.update(run_id for run_id in session.scalars(query) if run_id)


def going_runs(
    session: Session, after: str, limit: int, retention: RetentionSettings, now: datetime, gone: Gone
) -> tuple[list[str], str]:
    """Those of the next ``limit`` runs that go, and the last one looked at; empty at the end."""
    if not retention.runs_days:
        return [], ""
    run, result = CollectionRun, DeviceBackupResult
    count = select(func.count()).where(result.run_id == run.run_id).scalar_subquery()
    query = (
        select(run.run_id, count)
        .where(run.run_id > after, run.requested_at < now - timedelta(days=retention.runs_days))
        .order_by(run.run_id)
        .limit(limit)
    )
    rows = session.execute(query).all()
    empty = {run_id for run_id, left in rows if left == gone.by_run[run_id]}
    waits = select(RunAttachment.run_id, RunAttachment.result_id)
    for some in chunks(sorted(empty)):
        for run_id, result_id in session.execute(waits.where(RunAttachment.run_id.in_(some))):
            if result_id not in gone.ids:
                empty.discard(run_id)
    return sorted(empty), rows[-1][0] if len(rows) == limit else ""


def remove_runs(session: Session, run_ids: list[str], tally: Tally) -> None:
    """Delete those of these runs that nothing refers to at this moment."""
    run = CollectionRun
    query = (
        select(run.run_id)
        .where(
            run.run_id.in_(run_ids),
            ~exists().where(DeviceBackupResult.run_id == run.run_id),
            ~exists().where(RunAttachment.run_id == run.run_id),
        )
        .with_for_update(skip_locked=True)
    )
    found = list(session.scalars(query))
    session.execute(delete(run).where(run.run_id.in_(found)))
    tally[Kind.RUNS].add(len(found), len(found) * RUN_BYTES)


def _ended(query: Select[int, int], ids: range, before: datetime) -> Select[int, int]:
    """Of results that ended before a time, and that are not what a device's standing is told by."""
    result = DeviceBackupResult
    return query.join(Device, Device.id == result.device_pk).where(
        result.id >= ids.start,
        result.id < ids.stop,
        result.recorded_at < before,
        result.status != Status.QUEUED.value,
        func.coalesce(Device.latest_result_id, 0) != result.id,
        func.coalesce(Device.last_success_id, 0) != result.id,
    )


def _length(column: InstrumentedAttribute[list[dict[str, Any]]]) -> ColumnElement[int]:
    return func.length(cast(column, Text))


def _not_in_use(session: Session, ids: list[int]) -> list[int]:
    """Those that nobody writes to at this moment, locked: the others have their turn next time."""
    query = select(DeviceBackupResult.id).where(DeviceBackupResult.id.in_(ids)).order_by(DeviceBackupResult.id)
    return list(session.scalars(query.with_for_update(skip_locked=True)))
