"""Whether everything works again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select

from devicevault import names
from devicevault.errors import ServiceUnavailable
from devicevault.messages import Status
from devicevault.store import Store
from devicevault.store.models import DeviceBackupResult
from tests.durability.asker import Asker
from tests.durability.stage import CONSUMERS, HOSTS, Stage

POLL_S: Final = 0.3
CANARIES_EVERY_S: Final = 2.0
#: A consumer reads every 200 ms.
READS_WITHIN_MS: Final = 3000


class Recovery:
    """Looks at workers, consumers and rows."""

    def __init__(self, stage: Stage, asker: Asker, store: Store) -> None:
        self._stage = stage
        self._asker = asker
        self._store = store

    def seconds(self, bound_s: float) -> float | None:
        """Seconds until every worker began a collection whose row is final, and every consumer reads; None when that
        took longer than ``bound_s``.
        """
        began, since = time.monotonic(), datetime.now(UTC)
        canaries_at = began + CANARIES_EVERY_S / 2
        while (waited := time.monotonic() - began) <= bound_s:
            if self._workers_deliver(since) and self._consumers_read():
                return waited
            if time.monotonic() >= canaries_at:
                self._asker.ask_for_canaries()
                canaries_at = time.monotonic() + CANARIES_EVERY_S
            time.sleep(POLL_S)
        return None

    def queued(self) -> int | None:
        """Rows that are not final; None while the database does not tell."""
        try:
            with self._store.reading() as session:
                query = select(func.count()).where(DeviceBackupResult.status == Status.QUEUED)
                return int(session.scalar(query) or 0)
        except ServiceUnavailable:
            return None

    def _workers_deliver(self, since: datetime) -> bool:
        query = select(DeviceBackupResult.worker).where(DeviceBackupResult.started_at >= since).distinct()
        try:
            with self._store.reading() as session:
                return set(HOSTS) <= set(session.scalars(query))
        except ServiceUnavailable:
            return False

    def _consumers_read(self) -> bool:
        try:
            with Redis.from_url(self._stage.redis.url, socket_timeout=2) as redis:
                told: Any = redis.xinfo_consumers(names.RESULTS_STREAM, names.CONSUMER_GROUP)
        except RedisError:
            return False
        idle = {one["name"].decode(): one["idle"] for one in told}
        return all(idle.get(name, READS_WITHIN_MS) < READS_WITHIN_MS for name in CONSUMERS)
