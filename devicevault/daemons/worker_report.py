"""What a worker tells of itself: the status line of systemd, and its heartbeat in Redis."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import devicevault
from devicevault import heartbeat
from devicevault.collector.task import Worker
from devicevault.daemons.status import LiveStatus
from devicevault.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

STATUS_EVERY_S: Final = 5.0


class WorkerReport:
    """Tells both every few seconds as long as the ``with`` block lasts, from a thread of its own."""

    def __init__(self, name: str, group: str, concurrency: int, worker: Callable[[], Worker]) -> None:
        """``name`` is GROUP@HOST; ``worker`` gives what the tasks work with at that moment."""
        self.status = LiveStatus(self._numbers)
        self._name = name
        self._group = group
        self._concurrency = concurrency
        self._worker = worker
        self._started_at = datetime.now(UTC)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> WorkerReport:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.status.doing = "stopped"
        self._beat()

    def _run(self) -> None:
        beat_at = 0.0
        while not self._ended.wait(STATUS_EVERY_S if beat_at else 0):
            if beat_at:
                self.status.tell()
            if time.monotonic() >= beat_at:
                self._beat()
                beat_at = time.monotonic() + heartbeat.INTERVAL_S

    def _beat(self) -> None:
        try:
            heartbeat.beat(self._worker().redis, self._name, **self._told())
        except ServiceUnavailable as error:
            logger.debug("no heartbeat: %s", error)  # the tasks tell of it, and wait
        except Exception:
            logger.exception("no heartbeat")

    def _told(self) -> dict[str, Any]:
        worker = self._worker()
        counts = worker.activity.counts()
        return {
            "group": self._group,
            "version": devicevault.__version__,
            "started_at": self._started_at,
            "state": worker.activity.paused or self.status.doing,
            "concurrency": self._concurrency,
            "in_flight": counts.in_flight,
            "stuck": counts.stuck,
            "done": counts.done,
            "failed": counts.failed,
            "credentials": worker.context.credentials.names(),
            "platforms": {page.name: page.digest for page in worker.context.platforms},
            "key_id": worker.context.sealer.key_id,
        }

    def _numbers(self) -> str:
        activity = self._worker().activity
        counts = activity.counts()
        numbers = f"{counts.in_flight} in flight, {counts.stuck} stuck, {counts.done} done, {counts.failed} failed"
        return f"{activity.paused}; {numbers}" if activity.paused else numbers
