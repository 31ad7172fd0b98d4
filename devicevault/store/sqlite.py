"""A database in a file: SQLite with a write-ahead log, for one host."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection

from devicevault.errors import ConfigurationError, Fault, NoDatabaseYet, ServiceUnavailable

#: Seconds a writer waits for another one before it gives up.
LOCK_WAIT_S: Final = 30
#: Seconds between two looks of a writer whether it is its turn.
TURN_S: Final = 0.001
#: What names the database.
SETTING: Final = "database_url"
#: The group of operators writes the rows of the collections it asks for; SQLite gives its -wal and -shm the same.
FILE_MODE: Final = 0o660


def connect(url: URL, *, create: bool) -> Engine:
    """An engine for the file ``url`` names, made where it is missing and ``create`` says so.

    Raises :class:`~devicevault.errors.ConfigurationError` for a path that does not fit,
    :class:`~devicevault.errors.NoDatabaseYet` for a file that is not there, and
    :class:`~devicevault.errors.ServiceUnavailable` for one that can't be made.
    """
    _check_file(_path_of(url), create=create)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_WAIT_S})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _path_of(url: URL) -> Path:
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


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin says, not at the first write
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
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
