"""What is kept in the stream to be looked at never keeps results out of a Redis that has no room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from devicevault.settings import ConsumerSettings
from devicevault.stream import ResultReader, encode, publish, unread_results
from tests.consuming import DEAD, STREAM, WITHIN_S, dead_letters, queued, rows, running, wait_for_rows
from tests.results import request, result
from tests.servers import wait_until

pytestmark = pytest.mark.services


@contextmanager
def used(client: Redis, share: float) -> Iterator[None]:
    """So much of Redis' memory is in use."""
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / share))
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def filled(client: Redis, number: int = 10) -> ResultReader:
    """A reader of a stream with so many results, which keeps them all when it may."""
    for index in range(number):
        publish(client, STREAM, result(request(f"sw{index}"), "success", "x" * 1000))
    reader = ResultReader(client, STREAM, "here", ConsumerSettings(block_ms=10, tail_entries=100))
    reader.ensure_group()
    return reader


def test_the_tail_goes_when_memory_runs_low_and_unread_entries_stay(client: Redis) -> None:
    reader = filled(client)
    reader.acknowledge(reader.read())
    assert reader.trim() == 0
    unread = publish(client, STREAM, result(request("late"), "failure"))
    with used(client, 0.7):
        assert reader.trim() == 10
    left: Any = client.xrange(STREAM)
    assert [entry_id.decode() for entry_id, _ in left] == [unread]


def test_what_is_unread_is_counted_without_reading_it(client: Redis) -> None:
    assert unread_results(client, "no:such:stream") == 0
    reader = filled(client)
    assert unread_results(client, STREAM) == 10
    reader.read()
    assert unread_results(client, STREAM) == 0
    publish(client, STREAM, result(request("late"), "failure"))
    assert unread_results(client, STREAM) == 1


def test_one_that_stays_pending_keeps_no_committed_entry_then(client: Redis) -> None:
    reader = filled(client)
    first, *others = reader.read()
    with used(client, 0.7):
        reader.acknowledge(others)
    assert client.xlen(STREAM) == 1
    pending = reader.pending()
    assert pending is not None
    assert pending.id == first.id


def test_a_redis_that_fills_up_while_no_result_comes_gets_its_room_back(client: Redis, sqlite_url: str) -> None:
    """The workers' results do not get in, so none would ever come."""
    for one in queued(sqlite_url, *(f"sw{number}" for number in range(5))):
        publish(client, STREAM, one)
    with running(client, sqlite_url):
        wait_for_rows(sqlite_url, 5)
        assert client.xlen(STREAM) == 5
        with used(client, 1.0):
            wait_until(lambda: client.xlen(STREAM) == 0, WITHIN_S, or_say=lambda: f"{client.xlen(STREAM)} entries stay")


def test_a_consumer_that_comes_back_to_a_full_redis_reads_what_fills_it(client: Redis, sqlite_url: str) -> None:
    """Redis refuses to make a group while it is full, though it is there already."""
    for one in queued(sqlite_url, "a", "b"):
        publish(client, STREAM, one)
    ResultReader(client, STREAM, "here", ConsumerSettings(block_ms=10)).ensure_group()
    with used(client, 1.0), running(client, sqlite_url):
        wait_for_rows(sqlite_url, 2)
        wait_until(lambda: client.xlen(STREAM) == 0, WITHIN_S, or_say=lambda: f"{client.xlen(STREAM)} entries stay")


def test_a_dead_letter_without_room_holds_nothing_up_and_is_set_aside_later(client: Redis, sqlite_url: str) -> None:
    broken, good = queued(sqlite_url, "broken", "good")
    client.xadd(STREAM, {**encode(broken), "v": "7", "padding": "x" * 50_000})  # type: ignore[dict-item]
    publish(client, STREAM, good)
    reader = ResultReader(client, STREAM, "here", ConsumerSettings(block_ms=10))
    reader.ensure_group()
    with used(client, 1.0), running(client, sqlite_url, batch_entries=1, claim_idle_s=0.2, max_deliveries=10_000):
        wait_until(lambda: rows(sqlite_url)["good"].status == "success", WITHIN_S, or_say=lambda: str(rows(sqlite_url)))
        assert client.xlen(DEAD) == 0
        client.config_set("maxmemory", 0)
        wait_until(lambda: client.xlen(DEAD) == 1, WITHIN_S, or_say=lambda: "it was not set aside")
    (letter,) = dead_letters(client)
    assert letter["device"] == "broken"
    assert "message version 7" in letter["dead_reason"]
