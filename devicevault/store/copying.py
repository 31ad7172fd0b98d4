"""A whole database as one SQLite file, and back.

The file is the same whatever the database is: a SQLite database is copied with SQLite's own backup, which takes no more
than a read lock; a PostgreSQL one is read in one transaction that sees a single moment, without ``pg_dump``, whose
release would have to fit the server's. Both may be written to meanwhile. A copy of either can be put into the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    func,
    insert,
    inspect,
    select,
    text,
)

from devicevault.errors import UsageError
from devicevault.store import schema
from devicevault.store.engine import connect, translated

#: Rows read and written at a time: each may hold a configuration.
AT_ONCE: Final = 100


def copy_to_file(engine: Engine, path: Path) -> str:
    """Write a consistent copy of a database into the new file ``path``; the version of its schema.

    Raises :class:`OSError`, :class:`sqlite3.Error`, or what SQLAlchemy raises.
    """
    version = schema.current(engine)
    path.touch(mode=0o600, exist_ok=False)
    if engine.dialect.name == "sqlite":
        _copy_sqlite(Path(str(engine.url.database)), path)
    else:
        with _file_engine(path) as file, _one_moment(engine) as source, file.begin() as target:
            schema.upgrade_to(target, version)
            _copy_rows(source, target)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, without companions
    return version


def copy_from_file(path: Path, database_url: str) -> None:
    """Fill an empty database, made where it is not there, with a copy that has this release's schema.

    Raises :class:`UsageError` for a database that holds something already,
    :class:`~devicevault.errors.ServiceUnavailable` when it does not answer.
    """
    engine = connect(database_url, create=True)
    try:
        with translated(engine.url):
            refuse_filled(engine)
            if engine.dialect.name == "sqlite":
                _copy_sqlite(path, Path(str(engine.url.database)))
                return
            schema.create_if_empty(engine)
            schema.check(engine)
            with _file_engine(path) as file, file.connect() as source, engine.begin() as target:
                _copy_rows(source, target)
                _set_sequences(target)
    finally:
        engine.dispose()


def refuse_filled(engine: Engine) -> None:
    """Raise :class:`UsageError` for a database with devices in it."""
    with engine.execution_options(devicevault_reading=True).connect() as connection:
        if "devices" not in inspect(connection).get_table_names():
            return
        count = connection.scalar(text("SELECT count(*) FROM devices"))
    if count:
        raise UsageError(
            f"the database holds {count} devices already, and a restore would mix them with others",
            "restore into an empty one: move this one away first, or set another database_url",
        )


def bring_to_newest(path: Path) -> None:
    """Upgrade the schema of a copy. Raises :class:`~devicevault.errors.ConfigurationError` for a newer release's."""
    with _file_engine(path) as engine:
        if schema.current(engine) and not schema.is_known(schema.current(engine)):
            schema.check(engine)  # says that it is of a newer release
        schema.upgrade(engine)


def _copy_sqlite(source_path: Path, target_path: Path) -> None:
    with closing(sqlite3.connect(source_path)) as source, closing(sqlite3.connect(target_path)) as target:
        source.backup(target)


@contextmanager
def _file_engine(path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}")
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _one_moment(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        yield connection


def _copy_rows(source: Connection, target: Connection) -> None:
    """Copy every table of ``target``'s schema, in the order their references ask for."""
    there, here = _tables(source), _tables(target)
    zone = UTC if target.dialect.name == "postgresql" else None
    for table in here.sorted_tables:
        if table.name == schema.VERSION_TABLE:
            continue
        rows = source.execution_options(stream_results=True).execute(select(there.tables[table.name]))
        for some in rows.mappings().partitions(AT_ONCE):
            target.execute(insert(table), [{name: _fit(value, zone) for name, value in row.items()} for row in some])


def _tables(connection: Connection) -> MetaData:
    """The tables as they are: those of an older release have other columns than this one's."""
    found = MetaData()
    found.reflect(connection)
    return found


def _fit(value: Any, zone: Any) -> Any:
    """A point in time as a database keeps it: in UTC, and SQLite without saying so."""
    if not isinstance(value, datetime):
        return value
    in_utc = value.astimezone(UTC) if value.tzinfo else value
    return in_utc.replace(tzinfo=zone)


def _set_sequences(connection: Connection) -> None:
    """Let PostgreSQL number new rows after those that were copied."""
    for table in _tables(connection).sorted_tables:
        if (column := _numbered(table)) is None:
            continue
        sequence = connection.scalar(select(func.pg_get_serial_sequence(f'"{table.name}"', column)))
        highest = connection.scalar(select(func.max(table.c[column])))
        if sequence and highest:
            connection.execute(select(func.setval(sequence, highest)))


def _numbered(table: Table) -> str | None:
    """The column the database numbers by itself, if any."""
    keys = list(table.primary_key.columns)
    return keys[0].name if len(keys) == 1 and isinstance(keys[0].type, Integer) else None
