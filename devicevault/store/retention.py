"""Delete what nobody will ask for any more. Revisions, their texts and the newest originals are never deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Delete, Select, delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from devicevault.messages import Status
from devicevault.settings import RetentionSettings
from devicevault.store.engine import Store
from devicevault.store.models import (
    CollectionRun,
    Device,
    DeviceBackupResult,
    DeviceRevision,
    HeldArtifact,
    RunAttachment,
    SealedOriginal,
)

#: Rows deleted in one transaction, so that results need not wait long for their turn.
PRUNE_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Pruned:
    """How many rows were deleted, or would be."""

    #: Collections that ended long ago, and runs all of whose collections are gone.
    results: int = 0
    runs: int = 0
    #: Originals of revisions that were overtaken long ago.
    originals: int = 0


def prunable(store: Store, retention: RetentionSettings, now: datetime) -> Pruned:
    """What :func:`prune` would delete at once; runs become empty only by deleting."""
    with store.reading() as session:
        results, originals = _results(retention, now), _originals(retention, now)
        return Pruned(
            results=_count(session, results) if results is not None else 0,
            originals=_count(session, originals) if originals is not None else 0,
        )


def prune(store: Store, retention: RetentionSettings, now: datetime) -> Pruned:
    """Delete what is older than ``retention`` says. Others read and write meanwhile."""
    results, originals = _results(retention, now), _originals(retention, now)
    runs = _empty_runs(now - timedelta(days=retention.results_days))
    return Pruned(
        results=_delete(store, results, _without_results) if results is not None else 0,
        runs=_delete(store, runs, _without_runs) if results is not None else 0,
        originals=_delete(store, originals, _without_originals) if originals is not None else 0,
    )


def _results(retention: RetentionSettings, now: datetime) -> Select[int] | None:
    """Collections that made nothing which is kept, and that are not a device's newest."""
    if not retention.results_days:
        return None
    result = DeviceBackupResult
    is_kept: tuple[ColumnElement[bool], ...] = (
        exists().where(DeviceRevision.result_id == result.id),
        exists().where(HeldArtifact.result_id == result.id),
        exists().where(Device.latest_result_id == result.id),
        exists().where(Device.last_success_id == result.id),
    )
    return (
        select(result.id)
        .where(
            result.recorded_at < now - timedelta(days=retention.results_days),
            result.status != Status.QUEUED.value,
            *(~kept for kept in is_kept),
        )
        .order_by(result.id)
    )


def _empty_runs(before: datetime) -> Select[str]:
    run = CollectionRun
    return (
        select(run.run_id)
        .where(
            run.requested_at < before,
            ~exists().where(DeviceBackupResult.run_id == run.run_id),
            ~exists().where(RunAttachment.run_id == run.run_id),
        )
        .order_by(run.run_id)
    )


def _originals(retention: RetentionSettings, now: datetime) -> Select[int] | None:
    """Originals of revisions after which another one, of the same artifact and with an original, was made."""
    if not retention.originals_days:
        return None
    newer, kept = aliased(DeviceRevision), aliased(SealedOriginal)
    is_overtaken = exists(
        select(kept.id)
        .join(newer, newer.id == kept.revision_id)
        .where(
            newer.device_pk == DeviceRevision.device_pk,
            newer.artifact == DeviceRevision.artifact,
            newer.number > DeviceRevision.number,
        )
        .correlate(DeviceRevision)
    )
    return (
        select(SealedOriginal.id)
        .join(DeviceRevision, DeviceRevision.id == SealedOriginal.revision_id)
        .where(DeviceRevision.confirmed_at < now - timedelta(days=retention.originals_days), is_overtaken)
        .order_by(SealedOriginal.id)
    )


def _count(session: Session, query: Select[int]) -> int:
    return session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0


def _delete(store: Store, query: Select[Any], remove: Callable[[list[Any]], Sequence[Delete]]) -> int:
    total = 0
    while True:
        with store.session() as session:
            # A row somebody writes to at this moment is not one to delete.
            found = list(session.scalars(query.limit(PRUNE_AT_ONCE).with_for_update(skip_locked=True)))
            for statement in remove(found):
                session.execute(statement)
        total += len(found)
        if len(found) < PRUNE_AT_ONCE:
            return total


def _without_results(ids: list[int]) -> Sequence[Delete]:
    return (
        delete(RunAttachment).where(RunAttachment.result_id.in_(ids)),
        delete(DeviceBackupResult).where(DeviceBackupResult.id.in_(ids)),
    )


def _without_runs(run_ids: list[str]) -> Sequence[Delete]:
    return (delete(CollectionRun).where(CollectionRun.run_id.in_(run_ids)),)


def _without_originals(ids: list[int]) -> Sequence[Delete]:
    return (delete(SealedOriginal).where(SealedOriginal.id.in_(ids)),)
