"""The heartbeat of this process's worker, however it was started: by ``devicevault-worker`` or by ``celery worker``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery.signals import worker_ready, worker_shutdown

import devicevault
from devicevault import heartbeat
from devicevault.collector.worker import Worker
from devicevault.errors import ServiceUnavailable

logger = logging.getLogger(__name__)


class Pulse:
    """Leaves a heartbeat at once and every few seconds, from a thread of its own, until it is ended."""

    def __init__(self, name: str, groups: tuple[str, ...], concurrency: int, worker: Callable[[], Worker]) -> None:
        """``name`` is the one Celery knows the worker by; ``worker`` gives what the tasks work with at that moment."""
        self._name = name
        self._groups = groups
        self._concurrency = concurrency
        self._worker = worker
        self._started_at = datetime.now(UTC)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Leave a last heartbeat, which says that the worker stopped."""
        self._ended.set()
        self._thread.join()
        self._beat(heartbeat.STOPPED)

    def _run(self) -> None:
        self._beat("collecting")
        while not self._ended.wait(heartbeat.INTERVAL_S):
            self._beat("collecting")

    def _beat(self, state: str) -> None:
        try:
            heartbeat.beat(self._worker().redis, self._name, **self._told(state))
        except ServiceUnavailable as error:
            logger.debug("no heartbeat: %s", error)  # the tasks tell of it, and wait
        except Exception:
            logger.exception("no heartbeat")

    def _told(self, state: str) -> dict[str, Any]:
        worker = self._worker()
        counts = worker.activity.counts()
        return {
            "groups": self._groups,
            "version": devicevault.__version__,
            "started_at": self._started_at,
            "state": state if state == heartbeat.STOPPED else worker.activity.paused or state,
            "concurrency": self._concurrency,
            "in_flight": counts.in_flight,
            "stuck": counts.stuck,
            "done": counts.done,
            "failed": counts.failed,
            "credentials": worker.context.credentials.names(),
            "platforms": {page.name: page.digest for page in worker.context.platforms},
            "key_id": worker.context.sealer.key_id,
            "results_stream": worker.context.settings.results_stream,
        }


def install(worker: Callable[[], Worker]) -> None:
    """Lets every worker of this process have a pulse from the moment it is ready until it has stopped."""
    pulses: list[Pulse] = []

    def ready(sender: Any, **_: Any) -> None:
        groups = tuple(sorted(worker().holds.groups))
        pulses.append(Pulse(sender.hostname, groups, sender.controller.concurrency, worker))

    def shut_down(**_: Any) -> None:
        while pulses:
            pulses.pop().end()

    worker_ready.connect(ready, weak=False)
    worker_shutdown.connect(shut_down, weak=False)
