"""Whether a worker still consumes: its loop turns, or the broker is away and the loop can't turn.

Celery's loop stands still while the connection is lost, and a paused Redis freezes it without any sign of a lost
connection. So silence alone is no fault: only silence while the broker answers on a connection of its own is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from celery import bootsteps
from redis.exceptions import RedisError

from devicevault.celery_app import Application
from devicevault.daemons.service import Progress, notify_ready, notify_status
from devicevault.errors import DeviceVaultError
from devicevault.stream import connect_redis

TICK_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 5
#: Celery was seen to need up to 36 s to consume again after RabbitMQ was back.
RECONNECT_GRACE_S: Final = 90.0


class BrokerWatch:
    """Tells the watchdog whether the worker is alive."""

    def __init__(self, progress: Progress, answers: Callable[[], bool]) -> None:
        self._progress = progress
        self._answers = answers
        self._last_outage = float("-inf")

    def is_alive(self, interval_s: float) -> bool:
        """Whether to feed the watchdog, whose interval is ``interval_s``."""
        if self._progress.age_s < interval_s:
            return True
        if not self._answers():
            self._last_outage = time.monotonic()
            notify_status("the broker does not answer; waiting for it")
        return time.monotonic() - self._last_outage < max(RECONNECT_GRACE_S, interval_s)


def broker_answers(app: Application) -> bool:
    """Whether the broker answers on a new connection."""
    if not app.settings.has_amqp_broker:
        try:
            with connect_redis(app.settings.broker_url) as redis:
                redis.ping()
        except (RedisError, DeviceVaultError):
            return False
        return True
    with app.connection_for_read(connect_timeout=PROBE_TIMEOUT_S) as connection:
        try:
            connection.connect()
        except (OSError, *connection.connection_errors):
            return False
    return True


def install(app: Application, progress: Progress, status: str) -> None:
    """Reports to systemd when the worker consumes, each time it does, and counts its loop's turns as progress."""

    class Consuming(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **parameters: Any) -> None:
            super().__init__(parent, **parameters)
            self.tick: Any = None

        def start(self, parent: Any) -> None:
            progress.made()
            self.tick = parent.timer.call_repeatedly(TICK_S, progress.made)
            notify_ready(status)

        def stop(self, parent: Any) -> None:
            if self.tick is not None:
                self.tick.cancel()
                self.tick = None

        def shutdown(self, parent: Any) -> None:
            self.stop(parent)

    app.steps["consumer"].add(Consuming)
