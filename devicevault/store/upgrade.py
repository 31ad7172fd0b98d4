"""Bring the database to this release's schema; it is copied first, into a SQLite file whatever it is."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from devicevault.errors import ConfigurationError, Fault, ServiceUnavailable
from devicevault.store import schema
from devicevault.store.copying import copy_to_file
from devicevault.store.engine import connect, translated
from devicevault.store.sqlite import FILE_MODE

#: Where a PostgreSQL database is copied to, unless systemd names the folder.
STATE_FOLDER: Final = Path("/var/lib/devicevault")


@dataclass(frozen=True)
class Upgrade:
    """What was done."""

    #: Schema before, empty for a database without tables, and after.
    before: str
    after: str
    #: The copy of the database as it was, if one was made.
    copy: Path | None = None


def upgrade_store(database_url: str, *, with_copy: bool = True) -> Upgrade:
    """Upgrade the database, making it where there is none; nothing happens to one that is up to date.

    Raises :class:`ConfigurationError` for a URL that does not fit, a schema of a newer release, or no folder for the
    copy, and :class:`ServiceUnavailable` when the database does not answer or can't be copied.
    """
    engine = connect(database_url, create=True)
    try:
        with translated(engine.url):
            before = schema.current(engine)
            if before == schema.newest():
                return Upgrade(before, before)
            if before and not schema.is_known(before):
                schema.check(engine)  # says that it is of a newer release
            copy = _copied(engine, before) if before and with_copy else None
            schema.upgrade(engine)
            return Upgrade(before, schema.current(engine), copy)
    finally:
        engine.dispose()


def _copied(engine: Engine, version: str) -> Path:
    """A whole copy of the database, readable by the same people: beside a SQLite file, or in the state folder."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    beside = _beside(engine)
    copy = beside.with_name(f"{beside.name}.{version}-{moment}")
    draft = copy.with_name(f".{copy.name}")
    try:
        copy_to_file(engine, draft)
        draft.chmod(FILE_MODE)
        if os.geteuid() == 0:
            owner = (beside if beside.exists() else beside.parent).stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.rename(copy)
    except (OSError, sqlite3.Error) as error:
        raise ServiceUnavailable(
            f"the database can't be copied to {copy} before its upgrade: {error}", f"make room in {copy.parent}"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return copy


def _beside(engine: Engine) -> Path:
    """The file beside which a copy is put, which need not exist. Raises :class:`ConfigurationError`."""
    if engine.dialect.name == "sqlite":
        return Path(str(engine.url.database))
    folder = Path(os.environ.get("STATE_DIRECTORY", "").partition(":")[0] or STATE_FOLDER)
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(
            Fault(
                "database",
                f"it is copied to {folder} before its upgrade, and that can't be written to",
                "run as a user who may, or back the database up by yourself and: devicevault db upgrade --no-copy",
            )
        )
    return folder / f"{engine.url.database}.postgresql"
