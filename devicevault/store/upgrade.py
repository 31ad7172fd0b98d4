"""Bring the database to this release's schema; a SQLite file is copied first."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from devicevault.errors import ServiceUnavailable
from devicevault.store import schema
from devicevault.store.engine import FILE_MODE, connect, translated


@dataclass(frozen=True)
class Upgrade:
    """What was done."""

    #: Schema before, empty for a database without tables, and after.
    before: str
    after: str
    #: The copy of the database as it was, if one was made.
    copy: Path | None = None


def upgrade_store(database_url: str) -> Upgrade:
    """Upgrade the database, making it where there is none; nothing happens to one that is up to date.

    Raises :class:`ConfigurationError` for a URL that does not fit or a schema of a newer release, and
    :class:`ServiceUnavailable` when the database does not answer or can't be copied.
    """
    engine = connect(database_url, create=True)
    try:
        with translated(engine.url):
            before = schema.current(engine)
            if before == schema.newest():
                return Upgrade(before, before)
            if before and not schema.is_known(before):
                schema.check(engine)  # says that it is of a newer release
            copy = _copied(engine, before) if before else None
            schema.upgrade(engine)
            return Upgrade(before, schema.current(engine), copy)
    finally:
        engine.dispose()


def _copied(engine: Engine, version: str) -> Path | None:
    """A copy of a SQLite file beside it, whole and readable by the same people; PostgreSQL has backups of its own."""
    if engine.dialect.name != "sqlite":
        return None
    original = Path(str(engine.url.database))
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    copy = original.with_name(f"{original.name}.{version}-{moment}")
    draft = copy.with_name(f".{copy.name}")
    try:
        with contextlib.closing(sqlite3.connect(original)) as source, contextlib.closing(sqlite3.connect(draft)) as to:
            source.backup(to)
            to.execute("PRAGMA journal_mode = DELETE")
        draft.chmod(FILE_MODE)
        if os.geteuid() == 0:
            owner = original.stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.rename(copy)
    except (OSError, sqlite3.Error) as error:
        raise ServiceUnavailable(
            f"database {original} can't be copied before its upgrade: {error}", f"make room in {original.parent}"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return copy
