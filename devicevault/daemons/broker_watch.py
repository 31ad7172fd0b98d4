"""Whether a worker works: its loop turns, its slots get free, and what waits for it is begun.

Celery's loop stands still while the connection is lost, and a paused Redis freezes it without any sign of a lost
connection. So silence alone is no fault: only silence while the broker answers on a connection of its own is one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from celery import bootsteps
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from devicevault.celery_app import Application
from devicevault.collector.activity import Activity, Counts
from devicevault.daemons.service import Progress
from devicevault.daemons.status import LiveStatus
from devicevault.errors import DeviceVaultError, ServiceUnavailable
from devicevault.queues import reach, redis_urls
from devicevault.settings import mask_passwords
from devicevault.stream import connect_redis

logger = logging.getLogger(__name__)

TICK_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 5
#: Celery was seen to need up to 36 s to consume again after RabbitMQ was back.
RECONNECT_GRACE_S: Final = 90.0


class BrokerWatch:
    """Tells the watchdog whether the worker is alive."""

    def __init__(
        self,
        progress: Progress,
        answers: Callable[[], bool],
        activity: Activity,
        concurrency: int,
        waiting: Callable[[], int],
    ) -> None:
        """``answers`` tells whether the broker does, ``waiting`` how many requests this worker could begin.

        ``waiting`` raises :class:`ServiceUnavailable` when it can't tell.
        """
        self._progress = progress
        self._answers = answers
        self._activity = activity
        self._concurrency = concurrency
        self._waiting = waiting
        self._last_outage = float("-inf")
        self._idle_since = float("inf")
        self._begun = -1

    def is_alive(self, interval_s: float) -> bool:
        """Whether to feed the watchdog, whose interval is ``interval_s``."""
        counts = self._activity.counts()
        if counts.stuck >= self._concurrency:
            logger.error("every one of %d slots is stuck beyond its deadline", self._concurrency)
            return False
        if self._progress.age_s >= interval_s:
            return self._is_reconnecting(interval_s)
        return not self._is_deaf(counts, max(RECONNECT_GRACE_S, interval_s))

    def _is_reconnecting(self, interval_s: float) -> bool:
        if not self._answers():
            self._last_outage = time.monotonic()
        return time.monotonic() - self._last_outage < max(RECONNECT_GRACE_S, interval_s)

    def _is_deaf(self, counts: Counts, longest_s: float) -> bool:
        """Whether requests wait, slots are free, and none of them was begun for ``longest_s``."""
        now = time.monotonic()
        could_begin = counts.in_flight < self._concurrency and not self._activity.paused
        has_begun, self._begun = counts.begun != self._begun, counts.begun
        if not could_begin or has_begun or not self._something_waits():
            self._idle_since = float("inf")
            return False
        self._idle_since = min(self._idle_since, now)
        if now - self._idle_since < longest_s:
            return False
        logger.error("requests wait, slots are free, and nothing was begun for %.0f s", now - self._idle_since)
        return True

    def _something_waits(self) -> bool:
        try:
            return self._waiting() > 0
        except ServiceUnavailable:
            return False


def ask_broker(app: Application) -> None:
    """See that the broker answers on a new connection. Raises :class:`ServiceUnavailable` when it does not."""
    place = mask_passwords(app.settings.broker_url)
    try:
        _connect(app)
    except (OSError, KombuError, RedisError, DeviceVaultError, *app.connection().connection_errors) as error:
        reason = " ".join(mask_passwords(str(error)).split()) or type(error).__name__
        raise ServiceUnavailable(
            f"the broker at {place} does not answer: {reason}", "see that it runs and that broker_url names it"
        ) from None


def _connect(app: Application) -> None:
    if not app.settings.has_amqp_broker:
        _ping_any(redis_urls(app.settings.broker_url))
        return
    with app.connection_for_read(connect_timeout=PROBE_TIMEOUT_S) as connection:
        reach(connection, app.settings, PROBE_TIMEOUT_S)


def _ping_any(urls: Sequence[str]) -> None:
    *others, last = urls
    for url in others:
        with suppress(RedisError, DeviceVaultError):
            return _ping(url)
    return _ping(last)


def _ping(url: str) -> None:
    with connect_redis(url) as redis:
        redis.ping()


def broker_answers(app: Application) -> bool:
    """Whether the broker answers on a new connection."""
    try:
        ask_broker(app)
    except ServiceUnavailable:
        return False
    return True


def install(app: Application, progress: Progress, status: LiveStatus, doing: str) -> None:
    """Reports to systemd when the worker consumes, each time it does, and counts its loop's turns as progress."""

    class Consuming(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **parameters: Any) -> None:
            super().__init__(parent, **parameters)
            self.tick: Any = None

        def start(self, parent: Any) -> None:
            progress.made()
            self.tick = parent.timer.call_repeatedly(TICK_S, progress.made)
            status.doing = doing
            status.tell_ready()

        def stop(self, parent: Any) -> None:
            status.doing = "not connected to the broker"
            if self.tick is not None:
                self.tick.cancel()
                self.tick = None

        def shutdown(self, parent: Any) -> None:
            self.stop(parent)

    app.steps["consumer"].add(Consuming)
