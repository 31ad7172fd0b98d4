"""The servers the other tests rely on."""

from __future__ import annotations

import urllib.request
from base64 import b64encode

import psycopg
import pytest
from kombu.connection import Connection
from redis import Redis

from tests.servers import RabbitMQServer

pytestmark = pytest.mark.services


def test_redis_keeps_what_it_is_given(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.set("key", "value")
        assert client.get("key") == b"value"
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_rabbitmq_takes_and_gives_messages_and_shows_queues(rabbitmq: RabbitMQServer) -> None:
    with Connection(rabbitmq.url) as connection:  # type: ignore[no-untyped-call]
        queue = connection.SimpleQueue("test-servers")
        queue.put("hello")
        assert queue.get(timeout=10).payload == "hello"
    request = urllib.request.Request(f"http://127.0.0.1:{rabbitmq.api_port}/api/queues")
    request.add_header("Authorization", "Basic " + b64encode(b"guest:guest").decode())
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert b"test-servers" in answer.read()
    assert "test-servers" in rabbitmq.ctl("list_queues")


def test_each_test_has_an_empty_postgresql_database(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as connection:
        tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    assert tables == (0,)
