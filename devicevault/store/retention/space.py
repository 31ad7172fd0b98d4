"""What pruning gives back to the disk, and what it only makes free for rows to come.

SQLite and PostgreSQL alike keep the room of deleted rows for new ones. SQLite can cut a file's free pages off, in small
steps where the file was made for it; PostgreSQL cuts off what is free at a table's end, and nobody waits for that.
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import text

from devicevault.errors import ServiceUnavailable
from devicevault.store.engine import Store, translated
from devicevault.store.models import Base
from devicevault.store.retention.tally import Tell

#: Pages cut off in one step, of 4 KB each.
PAGES_AT_ONCE: Final = 1000
#: Seconds left to others after each.
TURN_S: Final = 0.02
_INCREMENTAL: Final = 2


@dataclass(frozen=True)
class Space:
    """How large the database is."""

    bytes: int
    #: Of that, free for rows to come; ``None`` where the database does not tell it cheaply.
    free: int | None


def space_of(store: Store) -> Space:
    """How large the database is now. Raises :class:`~devicevault.errors.ServiceUnavailable`."""
    with store.reading() as session:
        if store.engine.dialect.name != "sqlite":
            return Space(session.execute(text("SELECT pg_database_size(current_database())")).scalar_one(), None)
        page = session.execute(text("PRAGMA page_size")).scalar_one()
        pages = session.execute(text("PRAGMA page_count")).scalar_one()
        return Space(page * pages, page * session.execute(text("PRAGMA freelist_count")).scalar_one())


def give_back(store: Store, tell: Tell) -> None:
    """Give the database's free room back to the disk.

    Where a SQLite file was not made for it, it is written anew once: who writes waits for as long as that takes, and
    the disk must have room for it twice more. Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    if store.engine.dialect.name == "sqlite":
        with translated(store.engine.url):
            _cut_sqlite(store, tell)
        return
    with translated(store.engine.url), store.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        tables = Base.metadata.sorted_tables
        for done, table in enumerate(tables):
            tell("room", done, len(tables))
            connection.execute(text(f'VACUUM (ANALYZE) "{table.name}"'))


def _cut_sqlite(store: Store, tell: Tell) -> None:
    with closing(store.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        if cursor.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            _check_room(store)
            cursor.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
            cursor.execute("VACUUM")
        total = free = cursor.execute("PRAGMA freelist_count").fetchone()[0]
        while free:
            tell("room", total - free, total)
            # It yields after each page without a row, which execute() takes for its end.
            cursor.executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
            left = cursor.execute("PRAGMA freelist_count").fetchone()[0]
            if left >= free:
                break  # others free pages faster than they are cut off
            free = left
            time.sleep(TURN_S)
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _check_room(store: Store) -> None:
    path, needed = Path(str(store.engine.url.database)), 2 * space_of(store).bytes
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise ServiceUnavailable(
            f"writing {path} anew takes {needed / 1e6:.0f} MB of its disk, and {free / 1e6:.0f} MB are free",
            "make room; what was pruned is free for new rows in any case",
        )
