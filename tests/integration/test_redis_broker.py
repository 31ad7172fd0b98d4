"""A Redis broker that is full or goes away, with a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from redis import Redis, RedisError

from devicevault.celery_app import Application
from devicevault.queues import transport_options
from devicevault.redis_broker import Channel
from devicevault.settings import Settings
from tests.servers import wait_until

pytestmark = pytest.mark.services

QUEUE = "collector.group.lab"
TASK = {"task": "device.collect"}


@pytest.fixture
def connection(redis_url: str) -> Iterator[Any]:
    """A connection to the broker as workers make it, with two requests waiting."""
    app = Application("test")
    settings = Settings(broker_url=redis_url)
    app.use(settings)
    app.conf.broker_transport_options = transport_options(settings)
    with app.connection_for_read() as connection:
        for _ in range(2):
            connection.SimpleQueue(QUEUE).put(TASK)
        yield connection


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as connected:
        yield connected


@contextmanager
def full(client: Redis) -> Iterator[None]:
    """No command that needs room is taken."""
    # Far below what is used: a connection that ends gives back some room.
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def taken_from_a_full_one(channel: Any, client: Redis) -> Any:
    with full(client):
        message = channel.basic_get(QUEUE)
    assert message.payload == TASK
    assert not client.exists("unacked")
    return message


def test_a_request_taken_off_a_full_redis_is_not_lost(connection: Any, client: Redis) -> None:
    channel: Any = connection.channel()
    taken_from_a_full_one(channel, client).ack()
    assert isinstance(channel, Channel)
    assert client.llen(QUEUE) == 1


@pytest.mark.parametrize("end", ["ack", "reject"])
def test_one_that_is_done_with_leaves_a_full_redis(connection: Any, client: Redis, end: str) -> None:
    message = connection.channel().basic_get(QUEUE)
    assert client.hlen("unacked") == client.zcard("unacked_index") == 1
    with full(client):
        getattr(message, end)()
        assert client.hlen("unacked") == client.zcard("unacked_index") == 0
    assert client.llen(QUEUE) == 1


def test_one_that_could_not_be_noted_is_noted_with_the_next_one(connection: Any, client: Redis) -> None:
    """Should its worker die from now on, another one is given it."""
    channel = connection.channel()
    first = taken_from_a_full_one(channel, client)
    second = channel.basic_get(QUEUE)
    assert client.hlen("unacked") == client.zcard("unacked_index") == 2
    for message in (first, second):
        message.ack()
    assert client.hlen("unacked") == 0


@pytest.mark.parametrize("is_connected", [True, False])
def test_one_given_back_waits_until_there_is_room_for_it(connection: Any, client: Redis, is_connected: bool) -> None:
    """The connection it came by may be gone by then, as Celery ends it when Redis refuses to write."""
    channel = connection.channel()
    with full(client):
        message = channel.basic_get(QUEUE)
        if not is_connected:
            # Celery ignores, too, that a full Redis takes nothing back.
            with suppress(RedisError):
                connection.release()
        giving_back = threading.Thread(target=message.reject, kwargs={"requeue": True})
        giving_back.start()
        assert client.llen(QUEUE) == 1
    giving_back.join(30)
    wait_until(lambda: client.llen(QUEUE) == 2, 30, or_say=lambda: f"{client.llen(QUEUE)} of 2 requests")
    with connection.clone() as again:
        assert again.SimpleQueue(QUEUE).get(timeout=10).payload == TASK


def test_one_that_was_noted_is_given_back_as_well_once_there_is_room(connection: Any, client: Redis) -> None:
    """Nobody waits meanwhile: Celery's loop gives back what its tasks refuse."""
    message = connection.channel().basic_get(QUEUE)
    with full(client):
        message.reject(requeue=True)
        # Should the worker be killed now, another one is given it later on.
        assert client.hlen("unacked") == client.zcard("unacked_index") == 1
    wait_until(lambda: client.llen(QUEUE) == 2, 30, or_say=lambda: f"{client.llen(QUEUE)} of 2 requests")
    assert client.hlen("unacked") == client.zcard("unacked_index") == 0
    with connection.clone() as again:
        assert again.SimpleQueue(QUEUE).get(timeout=10).payload == TASK


def test_a_channel_used_after_its_connection_was_closed_is_a_broken_connection(connection: Any) -> None:
    """Celery connects again then; anything else would end the worker."""
    channel = connection.channel()
    message = channel.basic_get(QUEUE)
    connection.release()
    channel._pool = None
    with pytest.raises(connection.connection_errors, match="was closed"):
        message.ack()
