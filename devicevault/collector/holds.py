"""Why a worker takes no requests: its group is paused, Redis is away or nearly full, or results are not stored.

A thread of its own asks Redis every few seconds, so that neither Celery's loop nor a session ever waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis

from devicevault import steering
from devicevault.collector.activity import Activity
from devicevault.errors import ServiceUnavailable
from devicevault.settings import Settings
from devicevault.stream import ensure_group, memory_used, unread_results

logger = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_S: Final = 2.0
#: A limit that was reached holds until this share of it: a worker must not stop and go with each result.
RELEASE_SHARE: Final = 0.9


class Holds:
    """The reasons of this moment, by group. Thread-safe."""

    def __init__(self, redis: Redis, settings: Settings, activity: Activity) -> None:
        #: May be set anew at any time.
        self.settings = settings
        self._redis = redis
        self._activity = activity
        self._groups: Collection[str] = ()
        self._reasons: dict[str, str] = {}
        self._is_pressed = False
        #: Whether the consumer group is there, as far as this process knows.
        self._is_grouped = False
        self._refused: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._stopped: set[str] = set()
        self._look_now = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, groups: Collection[str]) -> None:
        """From now on looks every few seconds on behalf of these groups.

        The first look is done on return; later, when Celery connects anew, its loop must not wait for Redis.
        """
        self._groups = tuple(groups)
        if self._thread is None:
            self.look()
            self._thread = threading.Thread(target=self._run, name="holds", daemon=True)
            self._thread.start()

    @property
    def groups(self) -> Collection[str]:
        """The groups this worker was started for, whether or not it takes their requests at the moment."""
        return self._groups

    def reason(self, group: str) -> str:
        """Why nothing of this group is to be begun, or an empty string."""
        return self._reasons.get(group, "")

    def consumption(self, group: str, *, stopped: bool) -> None:
        """Tells whether this process takes requests of a group from the broker."""
        with self._changed:
            (self._stopped.add if stopped else self._stopped.discard)(group)
            self._changed.notify_all()

    def wait_until_stopped(self, group: str, timeout_s: float) -> None:
        """Returns when no request of the group is taken any more: one given back before would come again at once."""
        self._look_now.set()
        with self._changed:
            self._changed.wait_for(lambda: group in self._stopped, timeout_s)

    @contextmanager
    def refused(self, problem: str) -> Iterator[bool]:
        """While the block lasts, a task waits for Redis to take what it has: nothing new is begun meanwhile.

        Tells whether it is the first one, of those that wait now.
        """
        with self._changed:
            is_first = not self._refused
            self._refused[problem] += 1
        self._look_now.set()
        try:
            yield is_first
        finally:
            with self._changed:
                self._refused[problem] -= 1
                self._refused += Counter()  # forgets what came to nothing
            self._look_now.set()

    def look(self) -> None:
        """Asks Redis once."""
        try:
            if not self._is_grouped:
                ensure_group(self._redis, self.settings.results_stream)
                self._is_grouped = True
            paused = steering.paused_groups(self._redis)
            everybody = self._refusal() or self._pressure()
        except ServiceUnavailable as error:
            # Redis may be another one when it is back; who was paused still is.
            self._is_grouped = False
            paused, everybody = {}, f"{error.problem}; sessions that run go on and keep their results"
            kept = {group: reason for group, reason in self._reasons.items() if reason.startswith("paused")}
            self._tell(kept | dict.fromkeys(set(self._groups) - set(kept), everybody))
            return
        told = dict.fromkeys(self._groups, everybody) if everybody else {}
        for group in set(self._groups) & set(paused):
            one = paused[group]
            told[group] = f"paused by {one.by or 'somebody'} since {one.since or 'some time'}"
        self._tell(told)

    def _tell(self, reasons: dict[str, str]) -> None:
        before, self._reasons = self._reasons, reasons
        self._activity.paused = "; ".join(dict.fromkeys(reasons.values()))
        for group in self._groups:
            if reasons.get(group) and not before.get(group):
                logger.warning("Group %s: nothing new is begun: %s", group, reasons[group], extra={"group": group})
            elif before.get(group) and not reasons.get(group):
                logger.info("Group %s: goes on", group, extra={"group": group})

    def _refusal(self) -> str:
        with self._changed:
            problem = next(iter(self._refused), "")
            count = self._refused.total()
        return f"{problem}; {count} tasks hold on to what they have" if problem else ""

    def _pressure(self) -> str:
        worker = self.settings.worker
        share = RELEASE_SHARE if self._is_pressed else 1.0
        unread = unread_results(self._redis, self.settings.results_stream)
        told = ""
        if unread >= share * worker.max_unread_results:
            told = f"{unread} results wait to be stored"
        elif unread and (used := memory_used(self._redis)) >= share * worker.max_redis_memory:
            told = f"Redis' memory is {used:.0%} full, and {unread} results wait to be stored"
        self._is_pressed = bool(told)
        return f"{told}; see that devicevault-consumer runs and keeps up" if told else ""

    def _run(self) -> None:
        while True:
            self._look_now.wait(LOOK_S)
            self._look_now.clear()
            try:
                self.look()
            except Exception:
                # Whatever it was, the next look may go well; without looks the worker would never go on.
                logger.exception("Whether to take requests is not known")
