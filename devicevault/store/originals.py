"""Every original that is kept, whoever's it is: to count them by key, look into them, and seal them anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from devicevault.store.engine import Store
from devicevault.store.models import HeldArtifact, SealedOriginal
from devicevault.store.rows import chunks

#: Originals read at a time.
AT_ONCE: Final = 100

#: Where originals are kept: those of revisions, and those held as suspect.
TABLES: Final = (SealedOriginal, HeldArtifact)


@dataclass(frozen=True)
class Kept:
    """One original as it is stored."""

    table: type[SealedOriginal | HeldArtifact]
    id: int
    key_id: str
    sealed: bytes = field(repr=False)


def counts_by_key(session: Session) -> dict[str, int]:
    """How many originals are sealed with each ``key_id``."""
    counts: Counter[str] = Counter()
    for table in TABLES:
        query = select(table.key_id, func.count()).where(func.length(table.sealed) > 0).group_by(table.key_id)
        counts.update(dict(session.execute(query).all()))
    return dict(counts)


def sealed_otherwise(store: Store, key_id: str) -> Iterator[list[Kept]]:
    """The originals that are not sealed with exactly this ``key_id``, some at a time, each once."""
    for table in TABLES:
        last_id = 0
        while True:
            query = (
                select(table.id, table.key_id, table.sealed)
                .where(table.id > last_id, table.key_id != key_id, func.length(table.sealed) > 0)
                .order_by(table.id)
                .limit(AT_ONCE)
            )
            with store.reading() as session:
                some = [Kept(table, *row) for row in session.execute(query)]
            if not some:
                break
            last_id = some[-1].id
            yield some


def replace(session: Session, kept: Kept, sealed: bytes, key_id: str) -> bool:
    """Store the same original sealed anew; not where another one took its place meanwhile."""
    table = kept.table
    query = (
        update(table)
        .where(table.id == kept.id, table.key_id == kept.key_id, table.sealed == kept.sealed)
        .values(sealed=sealed, key_id=key_id)
        .returning(table.id)
    )
    return session.scalars(query).first() is not None


def originals_of(store: Store, revision_ids: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
    """Revision, ``key_id`` and sealed original, for those of these revisions that have one, in no order."""
    for some in chunks(revision_ids, AT_ONCE):
        query = select(SealedOriginal.revision_id, SealedOriginal.key_id, SealedOriginal.sealed)
        with store.reading() as session:
            rows = list(session.execute(query.where(SealedOriginal.revision_id.in_(some))))
        yield from ((revision_id, key_id, sealed) for revision_id, key_id, sealed in rows)
