"""A Redis broker that is full or goes away, with a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from devicevault.celery_app import Application
from devicevault.queues import transport_options
from devicevault.redis_broker import Channel
from devicevault.settings import Settings

pytestmark = pytest.mark.services

QUEUE = "collector.group.lab"


@pytest.fixture
def connection(redis_url: str) -> Iterator[Any]:
    """A connection to the broker as workers make it, with one request waiting."""
    app = Application("test")
    settings = Settings(broker_url=redis_url)
    app.use(settings)
    app.conf.broker_transport_options = transport_options(settings)
    with app.connection_for_read() as connection:
        connection.SimpleQueue(QUEUE).put({"task": "device.collect"})
        yield connection


def test_a_request_taken_off_a_full_redis_is_not_lost(connection: Any, redis_url: str) -> None:
    channel: Any = connection.channel()
    with Redis.from_url(redis_url) as redis:
        redis.config_set("maxmemory", redis.info("memory")["used_memory"])
        try:
            message = channel.basic_get(QUEUE)
        finally:
            redis.config_set("maxmemory", 0)
        assert message.payload == {"task": "device.collect"}
        assert not redis.exists(QUEUE, "unacked")
    message.ack()
    assert isinstance(channel, Channel)


def test_a_channel_used_after_its_connection_was_closed_is_a_broken_connection(connection: Any) -> None:
    """Celery connects again then; anything else would end the worker."""
    channel = connection.channel()
    message = channel.basic_get(QUEUE)
    connection.release()
    channel._pool = None
    with pytest.raises(connection.connection_errors, match="was closed"):
        message.ack()
