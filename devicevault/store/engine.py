"""The database: SQLite (WAL) on one host, or PostgreSQL.

A :class:`Store` hands out short transactions. Whatever goes wrong on the way to the database becomes
:class:`~devicevault.errors.ServiceUnavailable`; its texts never hold a password or a stored value.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.orm import Session

from devicevault.errors import ConfigurationError, Fault, NoDatabaseYet, ServiceUnavailable
from devicevault.store import schema

#: Seconds a writer waits for another one before it gives up.
LOCK_WAIT_S: Final = 30
#: Seconds between two of its looks.
TURN_S: Final = 0.001
CONNECT_TIMEOUT_S: Final = 10
#: Seconds without a sign of life after which a connection to PostgreSQL counts as broken.
ANSWER_TIMEOUT_S: Final = 30
SETTING: Final = "database_url"
#: The group of operators writes the rows of the collections it asks for; SQLite gives its -wal and -shm the same.
FILE_MODE: Final = 0o660


class Store:
    """An open database whose schema fits this release."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __repr__(self) -> str:
        return f"Store({self.place})"

    @property
    def place(self) -> str:
        """Where it is, in words without a password."""
        return _shown(self.engine.url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A writing transaction: committed when the block ends, rolled back when it raises.

        Raises :class:`~devicevault.errors.ServiceUnavailable`; what was written then is not there.
        """
        with self._translated(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction for questions only: it waits for no writer and holds none up."""
        engine = self.engine.execution_options(devicevault_reading=True)
        with self._translated(), Session(engine, expire_on_commit=False) as session:
            yield session

    def ping(self) -> None:
        """Ask the database for a sign of life. Raises :class:`~devicevault.errors.ServiceUnavailable`."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.engine.url):
            yield


def open_store(database_url: str, *, migrate: bool = False) -> Store:
    """The database at ``database_url``, its schema checked.

    With ``migrate`` an empty database gets its tables, and a SQLite file that is not there is made. A database
    of an older release is never changed here: ``devicevault db upgrade`` does that. Raises
    :class:`~devicevault.errors.ConfigurationError` for a URL, file or schema that does not fit,
    :class:`~devicevault.errors.ServiceUnavailable` when the database does not answer.
    """
    engine = connect(database_url, create=migrate)
    try:
        with translated(engine.url):
            if migrate:
                schema.create_if_empty(engine)
            schema.check(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine)


def connect(database_url: str, *, create: bool = False) -> Engine:
    """An engine for ``database_url``, without a look at its schema. ``create`` makes a missing SQLite file."""
    url = _parsed(database_url)
    if url.get_backend_name() == "sqlite":
        path = _sqlite_path(url)
        _check_file(path, create=create)
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_WAIT_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": ANSWER_TIMEOUT_S * 1000,
            "keepalives_idle": ANSWER_TIMEOUT_S,
            "application_name": "devicevault",
        },
    )


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn what a driver raises into :class:`~devicevault.errors.ServiceUnavailable`.

    Values a table can't hold (:class:`~sqlalchemy.exc.DataError`, :class:`~sqlalchemy.exc.IntegrityError`) stay
    what they are: waiting does not mend them.
    """
    try:
        yield
    except (DataError, IntegrityError):
        raise
    except (DBAPIError, sqlite3.Error) as error:  # the driver's own come from what is done at each connect
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise ServiceUnavailable(f"database {_shown(url)}: {reason}", _next_step(url, reason)) from None


def _next_step(url: URL, reason: str) -> str:
    if url.get_backend_name() == "sqlite":
        if "readonly" in reason or "unable to open" in reason:
            return "run as a member of the group that owns the file, and see that its folder may be written to"
        if "full" in reason:
            return "make room on its disk"
        if "locked" in reason:
            return "another process holds it; try again"
        return f"see that the file is whole and that {SETTING} names it"
    return f"see that PostgreSQL runs, and that {SETTING} names host, database, user and password"


def _parsed(database_url: str) -> URL:
    example = "use sqlite:////var/lib/devicevault/devicevault.db or postgresql://user@host/database"
    try:
        url = make_url(database_url)
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError(Fault(SETTING, "is not the URL of a database this release knows", example)) from None
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ConfigurationError(Fault(SETTING, f"{url.drivername} is not supported", example))
    return url


def _sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError(
            Fault(SETTING, "names no file", "use sqlite:////var/lib/devicevault/devicevault.db, with four slashes")
        )
    return Path(url.database)


def _check_file(path: Path, *, create: bool) -> None:
    if not path.parent.is_dir():
        raise ConfigurationError(Fault(SETTING, f"folder {path.parent} is not there", f"make it, or correct {SETTING}"))
    if path.is_dir():
        raise ConfigurationError(Fault(SETTING, f"{path} is a folder", "name a file in it"))
    if path.exists():
        return
    if not create:
        raise NoDatabaseYet(
            Fault(SETTING, f"there is no database at {path} yet", "collect a device, or run: devicevault db upgrade")
        )
    _create_file(path)


def _create_file(path: Path) -> None:
    """Make an empty database that has its write-ahead log from the moment others can see it.

    To switch to the log later SQLite needs the file for itself, and fails at once where two begin together.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with contextlib.closing(sqlite3.connect(draft)) as connection:
            # Pruning can give room back to the disk in small steps; later on this would take a whole VACUUM.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
        draft.chmod(FILE_MODE)
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.chown(draft, folder.st_uid, folder.st_gid)  # root must not lock the daemons out
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    except (OSError, sqlite3.Error) as error:
        raise ServiceUnavailable(
            f"database {path} can't be made: {error}", f"see that you may write to {path.parent}"
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, not at the first write
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once and waits its turn; one that begins by reading could not wait later.
    is_reading = connection.get_execution_options().get("devicevault_reading", False)
    if is_reading:
        connection.exec_driver_sql("BEGIN")
    else:
        _take_turn(cast("sqlite3.Connection", connection.connection.dbapi_connection))


def _take_turn(connection: sqlite3.Connection) -> None:
    """Begin to write as soon as nobody else does.

    SQLite itself looks again after up to a tenth of a second (its ``sqliteDefaultBusyCallback`` has the pauses): with
    two writers that have much to do the database would lie idle for a good part of the time.
    """
    ends_at = time.monotonic() + LOCK_WAIT_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= ends_at:
                    raise
                time.sleep(TURN_S)
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * LOCK_WAIT_S)}")


def _shown(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)
