"""The database, its schema, and requests in it that nobody answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, select

from devicevault.doctor.finding import Finding, faults_of
from devicevault.errors import DeviceVaultError
from devicevault.messages import Status
from devicevault.settings import Settings
from devicevault.store import Store, open_store, schema
from devicevault.store.models import DeviceBackupResult
from devicevault.wording import counted

DATABASE: Final = "database"
REQUESTS: Final = "requests"


def look(settings: Settings) -> Iterator[Finding]:
    """Whether the database answers with the schema of this release, and what waits in it for ever."""
    try:
        with open_store(settings.database_url) as store:
            store.ping()
            yield Finding.ok(DATABASE, f"{store.place} answers, schema {schema.current(store.engine)}")
            yield _unanswered(store)
    except DeviceVaultError as error:
        yield from faults_of(DATABASE, error)


def _unanswered(store: Store) -> Finding:
    queued = DeviceBackupResult.status == Status.QUEUED.value
    overdue = queued & (DeviceBackupResult.expires_at < datetime.now(UTC))
    with store.reading() as session:
        waiting = session.scalar(select(func.count()).where(queued)) or 0
        late = session.scalar(select(func.count()).where(overdue)) or 0
    if not late:
        return Finding.ok(
            REQUESTS, f"{counted(waiting, 'request')} without a result yet" if waiting else "every one has its result"
        )
    return Finding.fault(
        REQUESTS,
        f"{late} requests were never answered, though their time in the queue is over",
        "see the faults above, then collect again: devicevault collect --all",
    )
