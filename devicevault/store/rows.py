"""Make sure that rows are there, find and write many of them at once.

Two consumers and a dispatcher may write at the same time: rows are inserted where they are missing and
locked in the order of their keys, so that they wait for each other instead of failing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from devicevault.store.models import Base

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

#: Values in one statement; PostgreSQL takes 65,535 and SQLite 32,766.
CHUNK: Final = 5000

Row = TypeVar("Row", bound=Base)
T = TypeVar("T")


def insert_missing(session: Session, model: type[Base], rows: Iterable[dict[str, Any]], key: str) -> None:
    """Insert those of ``rows`` whose ``key`` is not in the table, in their order."""
    rows = list(rows)
    if not rows:
        return
    session.connection().execute(_insert(session, model).on_conflict_do_nothing(index_elements=[key]), rows)


def insert_or_replace(session: Session, model: type[Base], rows: Sequence[dict[str, Any]], key: str) -> None:
    """Insert ``rows``, each in place of the one of the same ``key``; all of them tell the same columns."""
    if not rows:
        return
    insert = _insert(session, model)
    changed = {name: insert.excluded[name] for name in rows[0] if name != key}
    session.connection().execute(insert.on_conflict_do_update(index_elements=[key], set_=changed), rows)


def update_rows(session: Session, model: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Write to the rows these ``id`` values name; all of them tell the same columns."""
    if not rows:
        return
    table = table_of(model)
    columns = [name for name in rows[0] if name != "id"]
    statement = update(table).where(table.c.id == bindparam("of_id"))
    values = [{"of_id": row["id"], **{name: row[name] for name in columns}} for row in rows]
    session.connection().execute(statement, values)


def table_of(model: type[Base]) -> Table:
    return cast("Table", model.__table__)


def _insert(session: Session, model: type[Base]) -> postgresql.Insert | sqlite.Insert:
    # Imported here: each dialect takes megabytes, and a daemon needs one.
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table_of(model))
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table_of(model))


def locked_by(
    session: Session, model: type[Row], column: InstrumentedAttribute[str], keys: Iterable[str]
) -> dict[str, Row]:
    """The rows whose ``column`` is one of ``keys``, by that value, locked until the transaction ends."""
    found: dict[str, Row] = {}
    for some in chunks(sorted(set(keys))):
        query = select(model).where(column.in_(some)).order_by(column).with_for_update()
        for row in session.scalars(query.execution_options(populate_existing=True)):
            found[str(getattr(row, column.key))] = row
    return found


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def storable(text: str) -> str:
    """``text`` without what PostgreSQL can't hold: NUL characters, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", errors="replace").decode()
