"""Make sure that rows are there, find and write many of them at once.

Two consumers and a dispatcher may write at the same time: rows are inserted where they are missing and
locked in the order of their keys, so that they wait for each other instead of failing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sqlalchemy import ARRAY, JSON, Boolean, ColumnElement, Table, bindparam, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from devicevault.store.models import Base

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

#: Values in one statement; PostgreSQL takes 65,535 and SQLite 32,766.
CHUNK: Final = 5000

Row = TypeVar("Row", bound=Base)
T = TypeVar("T")


class one_of(FunctionElement[bool]):  # noqa: N801 - written like a function of the database
    """Whether ``column`` is one of the values given as ``keys`` with the statement, all of them one parameter.

    With a parameter for each value a statement is another one for each number of values: SQLAlchemy writes it anew,
    psycopg looks through it for parameters and PostgreSQL plans it, each time. What is planned once has to be planned
    for tables of any size: see :func:`by_index`. For ``where``, once in a statement.
    """

    inherit_cache = True
    type = Boolean()

    def __init__(self, column: ColumnElement[Any] | InstrumentedAttribute[Any]) -> None:
        keys = ARRAY(column.type).with_variant(JSON(), "sqlite")
        super().__init__(column, bindparam("keys", type_=keys))

    def self_group(self, against: object = None) -> one_of:
        """Itself: as ``… = 1``, which SQLite would be asked otherwise, no index is used."""
        return self


@compiles(one_of)
def _in_array(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, keys = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({keys})"


@compiles(one_of, "sqlite")
def _in_json(element: one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, keys = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({keys}))"  # noqa: S608 (both are SQL already)


def by_index(session: Session) -> None:
    """Have PostgreSQL find rows by their indexes alone until the transaction ends.

    It keeps the plan of a statement that a connection has sent some times. Made while a table was small, or not yet
    analysed, that is to read through it, and stays so until somebody analyses it: each batch would take longer than the
    one before. (https://www.postgresql.org/docs/15/sql-prepare.html, Notes.)
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")


def insert_missing(session: Session, model: type[Base], rows: Iterable[dict[str, Any]], key: str) -> None:
    """Insert those of ``rows`` whose ``key`` is not in the table, in their order."""
    rows = list(rows)
    if not rows:
        return
    session.connection().execute(_insert(session, model).on_conflict_do_nothing(index_elements=[key]), rows)


def insert_or_replace(
    session: Session, model: type[Base], rows: Sequence[dict[str, Any]], key: str, **asked: ColumnElement[Any]
) -> None:
    """Insert ``rows``, each in place of the one of the same ``key``; all of them tell the same columns.

    ``asked`` are columns the database finds out, by questions whose parameters the rows hold as well.
    """
    if not rows:
        return
    insert = _insert(session, model).values(asked)
    columns = table_of(model).c
    changed = {name: insert.excluded[name] for name in rows[0] if name != key and name in columns}
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
    """The rows whose ``column`` is one of ``keys``, by that value, locked until the transaction ends.

    From then on PostgreSQL finds all rows by their indexes: :func:`by_index`.
    """
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    by_index(session)
    query = select(model).where(one_of(column)).order_by(column).with_for_update()
    rows = session.scalars(query, {"keys": wanted}, execution_options={"populate_existing": True})
    return {str(getattr(row, column.key)): row for row in rows}


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def storable(text: str) -> str:
    """``text`` without what PostgreSQL can't hold: NUL characters, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", errors="replace").decode()
