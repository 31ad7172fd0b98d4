"""Two things kombu's Redis transport lacks: without them a Redis that goes away or fills up ends a worker, or loses a
request.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

logger = logging.getLogger(__name__)


class QoS(kombu_redis.QoS):
    """Keeps what a Redis that is full would lose."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Notes a message that was taken off its queue as not yet acknowledged."""
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            # A full Redis lets messages be taken off, but not be noted. This one exists here only: do it.
            logger.warning("The broker can't note that a request is being worked on: %s", error)
            super(kombu_redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]


class Channel(kombu_redis.Channel):
    """Says so when it is used after its connection was closed."""

    QoS = QoS

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            # kombu would raise AttributeError, which Celery does not take for a broken connection.
            raise RedisConnectionError("the connection to the broker was closed")
        return super()._get_pool(asynchronous)  # type: ignore[no-untyped-call]


def install() -> None:
    """Let every connection to a Redis broker that is made from now on use these."""
    kombu_redis.Transport.Channel = Channel
