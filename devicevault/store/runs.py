"""Questions about runs: which there were, and how far each is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import func, or_, select, union_all
from sqlalchemy.orm import Session

from devicevault.errors import UsageError
from devicevault.messages import Status
from devicevault.store.models import CollectionRun, Device, DeviceBackupResult, RunAttachment
from devicevault.store.rows import chunks

#: Runs among which the last one of a group is looked for.
LOOK_BACK: Final = 200


@dataclass(frozen=True)
class RunSummary:
    """One wish to collect, and how its rows stand."""

    run_id: str
    kind: str
    asked_by: str
    requested_at: datetime
    #: Devices asked for.
    device_count: int
    #: How many rows have each status; with the rows of other runs this one waits for.
    statuses: dict[str, int]

    @property
    def is_done(self) -> bool:
        return not self.statuses.get(Status.QUEUED)


def recent_runs(session: Session, *, limit: int) -> list[RunSummary]:
    """The newest ``limit`` runs, newest first."""
    query = select(CollectionRun).order_by(CollectionRun.requested_at.desc(), CollectionRun.run_id).limit(limit)
    runs = list(session.scalars(query))
    statuses = _statuses(session, [run.run_id for run in runs])
    return [_summary(run, statuses.get(run.run_id, {})) for run in runs]


def find_run(session: Session, name: str) -> RunSummary:
    """The run whose id begins with ``name``. Raises :class:`~devicevault.errors.UsageError` unless there is one."""
    begins = CollectionRun.run_id.startswith(name, autoescape=True)
    found = list(session.scalars(select(CollectionRun).where(begins).limit(2))) if name else []
    if not found:
        raise UsageError(f"there is no run {name!r}", "see: devicevault runs")
    if len(found) > 1:
        raise UsageError(f"several runs begin with {name!r}", "give more of its id; see: devicevault runs --json")
    return _summary(found[0], _statuses(session, [found[0].run_id]).get(found[0].run_id, {}))


def newest_by_group(session: Session, groups: Collection[str], *, kind: str) -> dict[str, RunSummary]:
    """For each of these groups the newest run of this kind that asked for its devices, and how these fared.

    A group that none of the last :data:`LOOK_BACK` such runs asked for has none.
    """
    query = select(CollectionRun).where(CollectionRun.kind == kind).order_by(CollectionRun.requested_at.desc())
    found: dict[str, RunSummary] = {}
    for run in session.scalars(query.limit(LOOK_BACK)).all():
        if len(found) == len(groups):
            break
        for group, statuses in _statuses_by_group(session, run.run_id).items():
            if group in groups and group not in found:
                found[group] = replace(_summary(run, statuses), device_count=sum(statuses.values()))
    return found


def devices_asked_for(session: Session, device_ids: Collection[str], now: datetime) -> set[str]:
    """Those of these devices whose collection waits or runs at the moment."""
    found: set[str] = set()
    for some in chunks(list(device_ids)):
        query = (
            select(Device.device_id)
            .join(DeviceBackupResult, DeviceBackupResult.device_pk == Device.id)
            .where(
                Device.device_id.in_(some),
                DeviceBackupResult.status == Status.QUEUED,
                or_(DeviceBackupResult.expires_at.is_(None), DeviceBackupResult.expires_at > now),
            )
        )
        found.update(session.scalars(query))
    return found


def _statuses_by_group(session: Session, run_id: str) -> dict[str, dict[str, int]]:
    row = DeviceBackupResult
    own = select(row.group.label("group"), row.status.label("status")).where(row.run_id == run_id)
    attached = (
        select(row.group, row.status)
        .join(RunAttachment, RunAttachment.result_id == row.id)
        .where(RunAttachment.run_id == run_id)
    )
    rows = union_all(own, attached).subquery()
    found: dict[str, dict[str, int]] = defaultdict(dict)
    counts = select(rows.c.group, rows.c.status, func.count()).group_by(rows.c.group, rows.c.status)
    for group, status, count in session.execute(counts):
        found[group][status] = count
    return found


def _statuses(session: Session, run_ids: Collection[str]) -> dict[str, dict[str, int]]:
    own = select(DeviceBackupResult.run_id.label("run_id"), DeviceBackupResult.status.label("status")).where(
        DeviceBackupResult.run_id.in_(run_ids)
    )
    attached = (
        select(RunAttachment.run_id, DeviceBackupResult.status)
        .join(DeviceBackupResult, DeviceBackupResult.id == RunAttachment.result_id)
        .where(RunAttachment.run_id.in_(run_ids))
    )
    rows = union_all(own, attached).subquery()
    found: dict[str, dict[str, int]] = defaultdict(dict)
    counts = select(rows.c.run_id, rows.c.status, func.count()).group_by(rows.c.run_id, rows.c.status)
    for run_id, status, count in session.execute(counts):
        found[run_id][status] = count
    return found


def _summary(run: CollectionRun, statuses: dict[str, int]) -> RunSummary:
    return RunSummary(run.run_id, run.kind, run.asked_by, run.requested_at, run.device_count, statuses)
