"""What is derived from the store, notices and the mirror, is one consumer's at a time, however many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from devicevault.errors import ServiceUnavailable
from devicevault.store.engine import Store, translated


@contextmanager
def alone(store: Store, name: str) -> Iterator[bool]:
    """Whether nobody else is at ``name`` on this database; if so, nobody else is while the block lasts.

    PostgreSQL keeps count, and forgets a consumer with its connection. SQLite has one consumer, which is always alone.
    Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    if store.engine.dialect.name != "postgresql":
        yield True
        return
    key = {"key": int.from_bytes(hashlib.sha256(f"devicevault {name}".encode()).digest()[:8], "big", signed=True)}
    with translated(store.engine.url):
        # Without a transaction, which would keep PostgreSQL from tidying up for as long as a push takes.
        connection = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        with translated(store.engine.url):
            is_ours = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key))
        if not is_ours:
            yield False
            return
        try:
            yield True
        except ServiceUnavailable:
            # It may be PostgreSQL that is away: the lock is the connection's, and goes with it.
            connection.invalidate()
            raise
        finally:
            if not connection.invalidated:
                # Of a connection that ends PostgreSQL takes notice only a moment later.
                with translated(store.engine.url):
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
