"""The database: SQLite (WAL) on one host, or PostgreSQL.

A :class:`Store` hands out short transactions. Whatever goes wrong on the way to the database becomes
:class:`~devicevault.errors.ServiceUnavailable`; its texts never hold a password or a stored value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.orm import Session

from devicevault.errors import ConfigurationError, Fault, ServiceUnavailable
from devicevault.store import schema, sqlite
from devicevault.store.sqlite import SETTING

CONNECT_TIMEOUT_S: Final = 10
#: Seconds without a sign of life after which a connection to PostgreSQL counts as broken.
ANSWER_TIMEOUT_S: Final = 30


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
        return sqlite.connect(url, create=create)
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


def _shown(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)
