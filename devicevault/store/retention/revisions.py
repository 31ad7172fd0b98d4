"""Delete surplus revisions, their originals, and texts that nothing shows any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.orm import Session

from devicevault.settings import RetentionSettings
from devicevault.store.models import Device, DeviceConfig, DeviceRevision, HeldArtifact, SealedOriginal
from devicevault.store.retention.tally import Kind, Tally
from devicevault.store.retention.thinning import Known, surplus
from devicevault.store.rows import chunks

#: Bytes of a revision's row with its share of the indexes, measured on SQLite.
REVISION_BYTES: Final = 330


@dataclass(frozen=True)
class _Row(Known):
    config_id: int
    result_id: int
    confirmed_at: datetime


@dataclass
class Surplus:
    """What is not to be kept of some devices."""

    revisions: list[_Row] = field(default_factory=list)
    #: Revisions that stay and whose originals go.
    originals: list[int] = field(default_factory=list)


def surplus_of(session: Session, device_pks: Sequence[int], retention: RetentionSettings, now: datetime) -> Surplus:
    """What is not to be kept of these devices; from then on it never is again."""
    found = Surplus()
    before = now - timedelta(days=retention.originals_days) if retention.originals_days else None
    for revisions in _chains(session, device_pks):
        going = surplus(revisions, retention, now)
        gone = {one.id for one in going}
        found.revisions += [one for one in revisions if one.id in gone]
        restoring = [one for one in revisions if one.has_original][:-1]
        if before is not None:
            found.originals += [one.id for one in restoring if one.confirmed_at < before and one.id not in gone]
    return found


def remove_originals(session: Session, revision_ids: Sequence[int], tally: Tally, *, dry_run: bool) -> None:
    """Delete the originals of these revisions."""
    of_these = SealedOriginal.revision_id.in_(revision_ids)
    count, size = session.execute(
        select(func.count(), func.coalesce(func.sum(func.length(SealedOriginal.sealed)), 0)).where(of_these)
    ).one()
    tally[Kind.ORIGINALS].add(count, size)
    if not dry_run and count:
        session.execute(delete(SealedOriginal).where(of_these))


def remove_revisions(session: Session, rows: Sequence[_Row], tally: Tally) -> None:
    """Delete these revisions with all that only they have."""
    # A collection that brings one of these texts again at this moment holds its row: the revision goes next time.
    texts = select(DeviceConfig.id).where(DeviceConfig.id.in_({row.config_id for row in rows}))
    free = set(session.scalars(texts.order_by(DeviceConfig.id).with_for_update(skip_locked=True)))
    ids = [row.id for row in rows if row.config_id in free]
    remove_originals(session, ids, tally, dry_run=False)
    session.execute(delete(DeviceRevision).where(DeviceRevision.id.in_(ids)))
    tally[Kind.REVISIONS].add(len(ids), len(ids) * REVISION_BYTES)
    sizes = dict(session.execute(_unused_texts(free)).all())
    session.execute(delete(DeviceConfig).where(DeviceConfig.id.in_(sizes)))
    tally[Kind.TEXTS].add(len(sizes), sum(sizes.values()))


def count_revisions(session: Session, rows: Sequence[_Row], tally: Tally) -> set[int]:
    """Tell what deleting all of these would take; returns the results that no revision would need any more."""
    tally[Kind.REVISIONS].add(len(rows), len(rows) * REVISION_BYTES)
    for some in chunks(rows):
        remove_originals(session, [row.id for row in some], tally, dry_run=True)
    texts = Counter(row.config_id for row in rows)
    revision = DeviceRevision
    for configs in chunks(sorted(texts)):
        uses = select(revision.config_id, func.count()).where(revision.config_id.in_(configs))
        unused = [pk for pk, count in session.execute(uses.group_by(revision.config_id)) if count == texts[pk]]
        sizes = select(DeviceConfig.id, func.length(DeviceConfig.compressed)).where(
            DeviceConfig.id.in_(unused), ~exists().where(HeldArtifact.config_id == DeviceConfig.id)
        )
        found: dict[int, int] = dict(session.execute(sizes).all())
        tally[Kind.TEXTS].add(len(found), sum(found.values()))
    results = Counter(row.result_id for row in rows)
    freed: set[int] = set()
    for some_results in chunks(sorted(results)):
        uses = select(revision.result_id, func.count()).where(revision.result_id.in_(some_results))
        freed.update(pk for pk, count in session.execute(uses.group_by(revision.result_id)) if count == results[pk])
    return freed


def device_pks(session: Session) -> list[int]:
    """Every device."""
    return list(session.scalars(select(Device.id).order_by(Device.id)))


def _unused_texts(config_ids: set[int]) -> Select[int, int]:
    return select(DeviceConfig.id, func.length(DeviceConfig.compressed)).where(
        DeviceConfig.id.in_(config_ids),
        ~exists().where(DeviceRevision.config_id == DeviceConfig.id),
        ~exists().where(HeldArtifact.config_id == DeviceConfig.id),
    )


def _chains(session: Session, device_pks: Sequence[int]) -> Iterator[list[_Row]]:
    """The revisions of each artifact of these devices, from old to new."""
    revision = DeviceRevision
    query = (
        select(
            revision.device_pk,
            revision.artifact,
            revision.id,
            revision.collected_at,
            SealedOriginal.id.is_not(None),
            revision.config_id,
            revision.result_id,
            revision.confirmed_at,
        )
        .outerjoin(SealedOriginal, SealedOriginal.revision_id == revision.id)
        .where(revision.device_pk.in_(device_pks))
        .order_by(revision.device_pk, revision.artifact, revision.number)
    )
    for _, rows in groupby(session.execute(query), key=lambda row: (row[0], row[1])):
        yield [_Row(*row[2:]) for row in rows]
