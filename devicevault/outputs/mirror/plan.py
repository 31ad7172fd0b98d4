"""What is new, put in the order it is committed in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from devicevault.messages import Status
from devicevault.outputs.progress import File
from devicevault.outputs.revisions import NewRevision
from devicevault.store.models import DeviceBackupResult
from devicevault.store.rows import chunks

#: Runs asked for in one statement.
_SOME: Final = 1000


@dataclass
class Batch:
    """The revisions of one run and group: one commit."""

    run_id: str
    group: str
    #: Its place in the order of commits.
    order: int
    revisions: list[NewRevision] = field(default_factory=list)


def batches(revisions: Sequence[NewRevision]) -> list[Batch]:
    """The commits to make: one for each run and group, and each file's revisions in the order of their numbers.

    Where two runs read the same devices crosswise, one of them is cut in two.
    """
    waiting = list(revisions)
    made: list[Batch] = []
    while waiting:
        round_of: dict[tuple[str, str], Batch] = {}
        placed: dict[File, int] = {}
        left: list[NewRevision] = []
        held: set[File] = set()
        for row in waiting:
            key = (row.run_id or f"result {row.result_id}", row.group)
            batch = round_of.get(key) or Batch(row.run_id, row.group, len(round_of))
            if row.file in held or placed.get(row.file, -1) > batch.order:
                held.add(row.file)
                left.append(row)
                continue
            round_of[key] = batch
            placed[row.file] = batch.order
            batch.revisions.append(row)
        made += round_of.values()
        waiting = left
    return made


def ready(session: Session, found: Sequence[Batch], now: datetime, run_wait_s: float) -> tuple[list[Batch], bool]:
    """The batches whose run is done with their group, or was waited for long enough; and whether any waits.

    A batch that waits holds up every later one with a file of its own.
    """
    open_runs = _open_runs(session, {batch.run_id for batch in found if batch.run_id})
    done: list[Batch] = []
    held: set[File] = set()
    for batch in found:
        files = {row.file for row in batch.revisions}
        is_open = (batch.run_id, batch.group) in open_runs and not _was_waited_for(batch, now, run_wait_s)
        if is_open or files & held:
            held |= files
        else:
            done.append(batch)
    return done, bool(held)


def _was_waited_for(batch: Batch, now: datetime, run_wait_s: float) -> bool:
    first = min((row.recorded_at or row.collected_at) for row in batch.revisions)
    return now - first > timedelta(seconds=run_wait_s)


def _open_runs(session: Session, run_ids: Collection[str]) -> set[tuple[str, str]]:
    """The groups of these runs in which something is queued still."""
    result = DeviceBackupResult
    found: set[tuple[str, str]] = set()
    for some in chunks(sorted(run_ids), _SOME):
        query = (
            select(result.run_id, result.group)
            .where(result.run_id.in_(some), result.status == Status.QUEUED.value)
            .distinct()
        )
        found |= {(run_id or "", group) for run_id, group in session.execute(query)}
    return found
