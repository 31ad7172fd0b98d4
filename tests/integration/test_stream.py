"""The stream on a real Redis: nothing that is not committed is ever deleted, and everything is given to someone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from devicevault import names
from devicevault.errors import ConfigurationError, ServiceFull, ServiceUnavailable
from devicevault.names import CONSUMER_GROUP
from devicevault.settings import ConsumerSettings
from devicevault.stream import Entry, ResultReader, connect_redis, decode, publish
from devicevault.stream.reader import CLAIM_AT_ONCE
from tests.results import request, result
from tests.servers import redis_server

pytestmark = pytest.mark.services

STREAM = "device:results"
#: Less than a millisecond is none to Redis.
AT_ONCE_S = 0.0001
MakeReader = Callable[..., ResultReader]


@pytest.fixture
def reader_of(client: Redis) -> MakeReader:
    """Makes a reader with its group there; settings as keywords."""

    def make(consumer: str = "here", **values: Any) -> ResultReader:
        made = ResultReader(client, STREAM, consumer, ConsumerSettings(**{"block_ms": 10, **values}))
        made.ensure_group()
        return made

    return make


def publish_some(client: Redis, number: int, size: int = 10) -> list[str]:
    return [
        publish(client, STREAM, result(request(f"sw{index}"), "success", "x" * size, is_binary=bool(index)))
        for index in range(number)
    ]


def ids(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def left(client: Redis) -> list[str]:
    found: Any = client.xrange(STREAM)
    return [entry_id.decode() for entry_id, _ in found]


def test_what_is_published_is_read_in_order(client: Redis, reader_of: MakeReader) -> None:
    sent = [result(request(f"sw{index}"), "success", f"hostname sw{index}\n") for index in range(10)]
    for one in sent:
        publish(client, STREAM, one)
    assert [decode(entry) for entry in reader_of().read()] == sent


def test_the_end_of_a_task_is_noted_with_its_result(client: Redis, reader_of: MakeReader) -> None:
    """Of two messages of a task, one may end in a failure and one in a success: the database has the last word."""
    failure, success = (result(request(task_id="t1"), *kind) for kind in (("failure",), ("success", "hostname a\n")))
    client.set(names.BEGUN_PREFIX + "t1", 1)
    publish(client, STREAM, failure, done_s=60)
    assert 0 < client.ttl(names.DONE_PREFIX + "t1") <= 60
    assert client.exists(names.BEGUN_PREFIX + "t1") == 0
    publish(client, STREAM, success, done_s=600)
    assert client.ttl(names.DONE_PREFIX + "t1") > 60
    assert [decode(entry) for entry in reader_of().read()] == [failure, success]


def test_results_published_before_the_first_consumer_came_are_read(client: Redis, reader_of: MakeReader) -> None:
    published = publish_some(client, 3)
    assert ids(reader_of().read()) == published


def test_making_the_group_again_forgets_nothing(client: Redis, reader_of: MakeReader) -> None:
    published = publish_some(client, 2)
    assert ids(reader_of().read()) == published
    reader_of().ensure_group()
    assert reader_of().read() == []


def test_no_result_is_an_empty_batch_soon(reader_of: MakeReader) -> None:
    assert reader_of().read() == []


def test_a_batch_is_bounded_in_entries(client: Redis, reader_of: MakeReader) -> None:
    published = publish_some(client, 12)
    reader = reader_of(batch_entries=5)
    assert [ids(reader.read()) for _ in range(3)] == [published[:5], published[5:10], published[10:]]


def test_a_batch_is_bounded_in_bytes(client: Redis, reader_of: MakeReader) -> None:
    """Each entry has 8,000 bytes of text; 0.05 MB hold six of them, and one more may be begun."""
    published = publish_some(client, 40, size=8000)
    reader = reader_of(batch_mb=0.05)
    batch = reader.read()
    assert 2 <= len(batch) <= 7
    assert ids(batch) == published[: len(batch)]


def test_what_a_consumer_was_given_before_it_died_it_finds_again(client: Redis, reader_of: MakeReader) -> None:
    published = publish_some(client, 3)
    reader_of().read()
    reborn = reader_of()
    found = []
    while reborn.pending() is not None:
        entry = reborn.read_pending()
        assert entry is not None
        assert entry.text("status") == "success"
        found.append(entry.id)
        reborn.acknowledge([entry])
    assert found == published


def test_deliveries_are_counted_when_read_and_not_when_looked_at(client: Redis, reader_of: MakeReader) -> None:
    publish_some(client, 1)
    reader = reader_of()
    reader.read()
    for _ in range(3):
        reader.read_pending()
    found = reader.pending()
    assert found is not None
    assert found.deliveries == 4
    assert reader.look_at(found.id).text("device") == "sw0"
    again = reader.pending()
    assert again is not None
    assert again.deliveries == 4


def test_entries_of_a_consumer_that_is_gone_are_claimed(client: Redis, reader_of: MakeReader) -> None:
    published = publish_some(client, 3)
    reader_of("gone").read()
    patient, heir = reader_of("heir", claim_idle_s=3600), reader_of("heir", claim_idle_s=AT_ONCE_S)
    assert patient.claim() == 0
    assert heir.claim() == 3
    found = heir.pending()
    assert found is not None
    assert (found.id, found.deliveries) == (published[0], 1)
    assert reader_of("gone").pending() is None


def test_all_that_a_consumer_left_is_claimed_at_once(client: Redis, reader_of: MakeReader) -> None:
    """Though it is more than is asked for at a time, and what this consumer keeps lying itself is older."""
    kept = publish_some(client, CLAIM_AT_ONCE + 1)
    heir = reader_of("heir", claim_idle_s=AT_ONCE_S, batch_entries=len(kept))
    heir.read()
    published = publish_some(client, 2 * CLAIM_AT_ONCE + 1)
    reader_of("gone", batch_entries=len(published)).read()
    assert heir.in_others_hands() == len(published)
    assert heir.claim() == len(published)
    assert heir.in_others_hands() == 0
    assert heir.claim() == 0


def test_own_entries_are_not_claimed(client: Redis, reader_of: MakeReader) -> None:
    publish_some(client, 3)
    reader = reader_of(claim_idle_s=AT_ONCE_S)
    reader.read()
    assert reader.claim() == 0


def test_an_entry_deleted_while_pending_comes_back_without_fields(client: Redis, reader_of: MakeReader) -> None:
    (entry_id,) = publish_some(client, 1)
    reader = reader_of()
    reader.read()
    client.xdel(STREAM, entry_id)
    assert reader.read_pending() == Entry(entry_id, {})
    assert reader.look_at(entry_id) == Entry(entry_id, {})


def test_the_group_is_made_again_when_redis_lost_it(client: Redis, reader_of: MakeReader) -> None:
    reader = reader_of()
    client.flushall()
    published = publish_some(client, 1)
    assert reader.pending() is None
    assert ids(reader.read()) == published


class TestTrim:
    def test_only_what_is_acknowledged_is_deleted(self, client: Redis, reader_of: MakeReader) -> None:
        published = publish_some(client, 10)
        reader = reader_of(tail_entries=0, batch_entries=6)
        batch = reader.read()
        reader.acknowledge(batch[:2])
        assert reader.trim() == 2
        assert left(client) == published[2:]

    def test_one_old_pending_entry_keeps_all_that_follow(self, client: Redis, reader_of: MakeReader) -> None:
        published = publish_some(client, 5)
        reader = reader_of(tail_entries=0)
        reader.acknowledge(reader.read()[1:])
        assert reader.trim() == 0
        assert left(client) == published

    def test_another_consumers_pending_entry_is_kept(self, client: Redis, reader_of: MakeReader) -> None:
        published = publish_some(client, 5)
        reader_of("other", batch_entries=1).read()
        reader = reader_of(tail_entries=0)
        reader.acknowledge(reader.read())
        assert reader.trim() == 0
        assert left(client) == published

    def test_unread_entries_are_never_deleted(self, client: Redis, reader_of: MakeReader) -> None:
        published = publish_some(client, 5)
        assert reader_of(tail_entries=0).trim() == 0
        assert left(client) == published

    def test_a_tail_stays_to_look_at(self, client: Redis, reader_of: MakeReader) -> None:
        published = publish_some(client, 10)
        reader = reader_of(tail_entries=4)
        reader.acknowledge(reader.read())
        assert reader.trim() == 6
        assert left(client) == published[6:]
        assert reader.trim() == 0

    def test_unread_entries_count_as_tail(self, client: Redis, reader_of: MakeReader) -> None:
        published = publish_some(client, 10)
        reader = reader_of(tail_entries=4, batch_entries=7)
        reader.acknowledge(reader.read())
        assert reader.trim() == 6
        assert left(client) == published[6:]

    def test_what_is_read_while_trimming_is_kept(self, client: Redis, reader_of: MakeReader) -> None:
        """Another consumer reads between the two questions: its entries are newer than the answer to the first."""
        publish_some(client, 2)
        reader, other = reader_of(tail_entries=0), reader_of("other")
        reader.acknowledge(reader.read())
        late = publish_some(client, 2)
        ask_pending = client.xpending

        def read_meanwhile(*args: Any) -> Any:
            other.read()
            return ask_pending(*args)

        client.xpending = read_meanwhile  # type: ignore[method-assign, assignment]
        assert reader.trim() == 2
        assert left(client) == late


class TestDeadLetters:
    def test_one_is_set_aside_whole_and_acknowledged(self, client: Redis, reader_of: MakeReader) -> None:
        (entry_id,) = publish_some(client, 1)
        reader = reader_of()
        (entry,) = reader.read()
        reader.dead_letter(entry, "it is broken")
        assert reader.pending() is None
        found: Any = client.xrange(f"{STREAM}:dead")
        ((_, fields),) = found
        assert fields[b"dead_reason"] == b"it is broken"
        assert fields[b"dead_entry_id"].decode() == entry_id
        assert {name: fields[name] for name in entry.fields} == dict(entry.fields)

    def test_two_consumers_that_had_it_in_hand_set_it_aside_once(self, client: Redis, reader_of: MakeReader) -> None:
        """One took it over from the other while that one waited for the database."""
        publish_some(client, 1)
        slow, heir = reader_of("slow"), reader_of("heir", claim_idle_s=AT_ONCE_S)
        (entry,) = slow.read()
        assert heir.claim() == 1
        heir.dead_letter(entry, "it is broken")
        slow.dead_letter(entry, "it is broken")
        assert client.xlen(f"{STREAM}:dead") == 1

    def test_one_is_kept_though_redis_lost_the_stream(self, client: Redis, reader_of: MakeReader) -> None:
        publish_some(client, 1)
        reader = reader_of()
        (entry,) = reader.read()
        client.flushall()
        reader.dead_letter(entry, "it is broken")
        assert client.xlen(f"{STREAM}:dead") == 1

    def test_a_dead_letter_can_be_read_again_as_a_result(self, client: Redis, reader_of: MakeReader) -> None:
        sent = result(request(), "success", "hostname a\n")
        publish(client, STREAM, sent)
        reader = reader_of()
        reader.dead_letter(reader.read()[0], "by mistake")
        found: Any = client.xrange(f"{STREAM}:dead")
        assert decode(found[0][1]) == sent


class TestAway:
    def test_no_server_is_told_with_its_place_and_without_its_password(self) -> None:
        client = connect_redis("redis://:hunter2@127.0.0.1:1/1")
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1/1") as caught:
            publish(client, STREAM, result(request(), "failure"))
        assert "hunter2" not in str(caught.value)

    def test_a_password_that_is_wrong_is_told_as_such(self, client: Redis, redis_url: str) -> None:
        client.config_set("requirepass", "secret")
        try:
            with connect_redis(redis_url) as stranger, pytest.raises(ServiceUnavailable, match="refuses access"):
                publish(stranger, STREAM, result(request(), "failure"))
        finally:
            client.config_set("requirepass", "")

    def test_a_url_of_something_else_is_a_fault_of_the_setting(self) -> None:
        with pytest.raises(ConfigurationError, match="redis_url"):
            connect_redis("amqp://localhost")

    @pytest.mark.parametrize("done_s", [0.0, 60.0])
    def test_a_full_redis_refuses_and_the_next_try_may_succeed(self, client: Redis, done_s: float) -> None:
        one = result(request(), "success", "x" * 100)
        client.config_set("maxmemory", "1mb")
        try:
            with pytest.raises(ServiceFull, match="maxmemory"):
                publish(client, STREAM, one, done_s=done_s)
        finally:
            client.config_set("maxmemory", "0")
        assert not client.exists(names.DONE_PREFIX + one.task_id)
        assert publish(client, STREAM, one, done_s=done_s) == left(client)[0]

    def test_a_reader_goes_on_after_redis_was_killed(self, tmp_path: Path) -> None:
        with redis_server(tmp_path) as server, connect_redis(server.url) as client:
            reader = ResultReader(client, STREAM, "here", ConsumerSettings(block_ms=10))
            reader.ensure_group()
            first = publish(client, STREAM, result(request(), "failure"))
            assert ids(reader.read()) == [first]
            server.kill()
            with pytest.raises(ServiceUnavailable):
                reader.read()
            server.start()
            second = publish(client, STREAM, result(request(), "failure"))
            assert ids(reader.read()) == [second]
            groups: Any = client.xinfo_groups(STREAM)
            assert groups[0]["name"].decode() == CONSUMER_GROUP
