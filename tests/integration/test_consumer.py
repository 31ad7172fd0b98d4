"""The consumer: every result becomes one row, and what can't become one holds nothing up."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

from devicevault.daemons.intake import TRIM_S, Intake
from devicevault.settings import ConsumerSettings
from devicevault.store import Store, open_run, open_store, queue_requests
from devicevault.store.models import DeviceConfig
from devicevault.store.texts import text_of
from devicevault.stream import Entry, ResultReader, encode, publish
from tests.consuming import (
    DEAD,
    STREAM,
    WITHIN_S,
    dead_letters,
    queued,
    revisions_of,
    rows,
    running,
    wait_for_no_pending,
    wait_for_rows,
)
from tests.results import artifact, request, result
from tests.servers import wait_until

pytestmark = pytest.mark.services


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_results_become_rows_and_leave_the_stream(kind: str, client: Redis, request: pytest.FixtureRequest) -> None:
    database_url = str(request.getfixturevalue(f"{kind}_url"))
    for one in queued(database_url, *(f"sw{number}" for number in range(50))):
        publish(client, STREAM, one)
    with running(client, database_url, tail_entries=5):
        found = wait_for_rows(database_url, 50)
        wait_until(lambda: client.xlen(STREAM) == 5, WITHIN_S, or_say=lambda: f"{client.xlen(STREAM)} entries left")
    assert {row.status for row in found.values()} == {"success"}
    wait_for_no_pending(client)


def test_a_batch_is_gone_from_memory_before_the_next_is_read(
    client: Redis, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may be of many megabytes."""
    read = ResultReader.read
    earlier: list[weakref.ref[Entry]] = []
    still_there: list[int] = []

    def watched(reader: ResultReader) -> list[Entry]:
        still_there.append(sum(entry() is not None for entry in earlier))
        entries = read(reader)
        earlier[:] = map(weakref.ref, entries)
        return entries

    monkeypatch.setattr(ResultReader, "read", watched)
    for one in queued(sqlite_url, *(f"sw{number}" for number in range(20))):
        publish(client, STREAM, one)
    with running(client, sqlite_url, batch_entries=5):
        wait_for_rows(sqlite_url, 20)
    assert len(still_there) >= 4
    assert not any(still_there)


def test_an_entry_that_can_not_be_read_is_set_aside_and_its_row_ended(client: Redis, sqlite_url: str) -> None:
    broken, good = queued(sqlite_url, "broken", "good")
    fields: dict[Any, Any] = dict(encode(broken))
    client.xadd(STREAM, fields | {"v": "7"})
    client.xadd(STREAM, {"unrelated": "entry"})
    publish(client, STREAM, good)
    with running(client, sqlite_url):
        found = wait_for_rows(sqlite_url, 2)
        wait_until(lambda: client.xlen(DEAD) == 2, WITHIN_S, or_say=lambda: str(dead_letters(client)))
    assert found["good"].status == "success"
    assert (found["broken"].status, found["broken"].error) == ("lost", "lost")
    assert "message version 7" in found["broken"].error_message
    assert DEAD in found["broken"].error_message
    assert [letter.get("device") for letter in dead_letters(client)] == ["broken", None]
    wait_for_no_pending(client)


def test_a_text_that_is_not_what_its_digest_tells_of_is_set_aside_alone(client: Redis, sqlite_url: str) -> None:
    sent = queued(sqlite_url, *(f"sw{number}" for number in range(9)))
    for one in sent:
        fields: dict[Any, Any] = dict(encode(one))
        if one.device == "sw4":
            fields["device_config"] = fields["device_config"].replace(b"sw4", b"sw5")
        client.xadd(STREAM, fields)
    with running(client, sqlite_url):
        found = wait_for_rows(sqlite_url, 9)
        wait_until(lambda: client.xlen(DEAD) == 1, WITHIN_S, or_say=lambda: str(dead_letters(client)))
    assert {name for name, row in found.items() if row.status == "success"} == {one.device for one in sent} - {"sw4"}
    assert "the text of artifact 'running' is another than its digest tells of" in found["sw4"].error_message
    wait_for_no_pending(client)


def test_a_text_the_vault_has_is_not_looked_at_again(client: Redis, sqlite_url: str) -> None:
    """It tells that the device is as it was; there is nothing to keep of it."""
    (first,) = queued(sqlite_url, "sw1")
    publish(client, STREAM, first)
    with running(client, sqlite_url):
        wait_for_rows(sqlite_url, 1)
        (again,) = queued(sqlite_url, "sw1")
        fields: dict[Any, Any] = dict(encode(again))
        client.xadd(STREAM, fields | {"device_config": b"hostname sw2\n"})
        wait_until(
            lambda: rows(sqlite_url)["sw1"].task_id == again.task_id and rows(sqlite_url)["sw1"].is_final,
            WITHIN_S,
            or_say=lambda: "the second has not ended",
        )
    assert rows(sqlite_url)["sw1"].status == "success"
    assert revisions_of(sqlite_url, ["sw1"]) == {"sw1": 1}
    with open_store(sqlite_url) as store, store.reading() as session:
        (text,) = session.scalars(select(DeviceConfig))
        assert text_of(text) == "hostname sw1\n"


def test_an_original_sealed_with_a_strangers_key_is_set_aside(client: Redis, sqlite_url: str) -> None:
    (ours, strange) = (
        result(request(name), "success", artifact("a\n", key_id=name), worker="worker@far") for name in ("ours", "odd")
    )
    publish(client, STREAM, strange)
    publish(client, STREAM, ours)
    with running(client, sqlite_url):
        wait_for_rows(sqlite_url, 1)
    (letter,) = dead_letters(client)
    assert "sealed with key 'odd'" in letter["dead_reason"]
    assert "worker@far" in letter["dead_reason"]


def test_a_result_the_database_can_not_hold_stands_in_no_other_ones_way(client: Redis, sqlite_url: str) -> None:
    results = queued(sqlite_url, "before", "poison", "after")
    results[1] = results[1].model_copy(update={"collection_duration_ms": 2**70})
    for one in results:
        publish(client, STREAM, one)
    with running(client, sqlite_url):
        found = wait_for_rows(sqlite_url, 3)
        wait_until(lambda: client.xlen(DEAD) == 1, WITHIN_S, or_say=lambda: str(dead_letters(client)))
    assert {name: row.status for name, row in found.items()} == {
        "before": "success",
        "poison": "lost",
        "after": "success",
    }
    assert dead_letters(client)[0]["device"] == "poison"


def test_an_entry_that_ended_the_consumer_too_often_is_set_aside(client: Redis, sqlite_url: str) -> None:
    deadly, innocent = queued(sqlite_url, "deadly", "innocent")
    publish(client, STREAM, deadly)
    publish(client, STREAM, innocent)
    earlier = ResultReader(client, STREAM, "here", ConsumerSettings(block_ms=10))
    earlier.ensure_group()
    assert len(earlier.read()) == 2
    for _ in range(2):
        earlier.read_pending()  # as a consumer that dies of it each time
    with running(client, sqlite_url, max_deliveries=3):
        found = wait_for_rows(sqlite_url, 2)
    assert found["innocent"].status == "success"
    assert found["deadly"].status == "lost"
    assert "delivered 3 times" in found["deadly"].error_message


def test_an_entry_deleted_before_it_was_stored_holds_nothing_up(client: Redis, sqlite_url: str) -> None:
    gone, good = queued(sqlite_url, "gone", "good")
    earlier = ResultReader(client, STREAM, "here", ConsumerSettings(block_ms=10))
    earlier.ensure_group()
    entry_id = publish(client, STREAM, gone)
    earlier.read()
    client.xdel(STREAM, entry_id)
    publish(client, STREAM, good)
    with running(client, sqlite_url):
        found = wait_for_rows(sqlite_url, 1)
        wait_for_no_pending(client)
    assert (found["gone"].status, found["good"].status) == ("queued", "success")


def test_what_another_consumer_left_is_taken_over(client: Redis, sqlite_url: str) -> None:
    (left,) = queued(sqlite_url, "left")
    publish(client, STREAM, left)
    other = ResultReader(client, STREAM, "other-host", ConsumerSettings(block_ms=10))
    other.ensure_group()
    assert len(other.read()) == 1
    with running(client, sqlite_url, claim_idle_s=0.05):
        assert wait_for_rows(sqlite_url, 1)["left"].status == "success"


def test_two_consumers_at_once_store_each_result_once(client: Redis, sqlite_url: str) -> None:
    """They even take entries from each other, as after a pause of one of them."""
    results = queued(sqlite_url, *(f"sw{number}" for number in range(100)))
    with (
        running(client, sqlite_url, "one", batch_entries=3, claim_idle_s=0.01, max_deliveries=1000),
        running(client, sqlite_url, "two", batch_entries=3, claim_idle_s=0.01, max_deliveries=1000),
    ):
        for sent in results:
            publish(client, STREAM, sent)
        found = wait_for_rows(sqlite_url, 100)
        wait_for_no_pending(client)
    assert {row.status for row in found.values()} == {"success"}
    assert revisions_of(sqlite_url, found) == dict.fromkeys(found, 1)
    assert dead_letters(client) == []


def test_rows_nobody_ends_are_swept_but_not_before_the_stream_was_read(client: Redis, sqlite_url: str) -> None:
    moment = datetime.now(UTC) - timedelta(days=1)
    asked = [request(name, requested_at=moment, expires_at=moment) for name in ("gone", "late", "waits")]
    asked[2] = asked[2].model_copy(update={"expires_at": datetime.now(UTC)})
    with open_store(sqlite_url, migrate=True) as store, store.session() as session:
        run_id = open_run(session, asked_by="ann")
        queue_requests(session, run_id, asked)
    for _ in range(50):
        publish(client, STREAM, result(request("other"), "failure"))
    publish(client, STREAM, result(asked[1], "failure", error="timeout"))
    with running(client, sqlite_url, batch_entries=1):
        wait_until(lambda: rows(sqlite_url)["gone"].is_final, WITHIN_S, or_say=lambda: str(rows(sqlite_url)))
    found = rows(sqlite_url)
    assert (found["gone"].status, found["late"].status, found["waits"].status) == ("lost", "failure", "queued")


def test_rows_are_not_swept_while_another_consumer_has_results_in_hand(
    client: Redis, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them may be of a row that waits."""
    moment = datetime.now(UTC) - timedelta(days=1)
    asked = request("late", requested_at=moment, expires_at=moment)
    with open_store(sqlite_url, migrate=True) as store, store.session() as session:
        queue_requests(session, open_run(session, asked_by="ann"), [asked])
    publish(client, STREAM, result(asked, "failure", error="timeout"))
    slow = ResultReader(client, STREAM, "slow", ConsumerSettings(block_ms=10))
    slow.ensure_group()
    in_hand = slow.read()
    looks: list[int] = []

    def look(reader: ResultReader) -> int:
        looks.append(was(reader))
        return looks[-1]

    was = ResultReader.in_others_hands
    monkeypatch.setattr(ResultReader, "in_others_hands", look)
    with running(client, sqlite_url):
        wait_until(lambda: len(looks) > 3, WITHIN_S, or_say=lambda: "it did not look")
        assert set(looks) == {1}
        assert rows(sqlite_url)["late"].status == "queued"
        slow.acknowledge(in_hand)
        wait_until(lambda: rows(sqlite_url)["late"].is_final, WITHIN_S, or_say=lambda: str(rows(sqlite_url)))


def test_a_text_that_shrank_is_told_in_the_journal(
    client: Redis, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(client, STREAM, result(request("sw"), "success", "x" * 100))
    publish(client, STREAM, result(request("sw", minutes=1), "success", "x" * 79))
    with running(client, sqlite_url, suspect_shrink=0.2):
        wait_until(lambda: "sw: suspect: " in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
    assert rows(sqlite_url)["sw"].status == "suspect"


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Entries of each batch that is taken."""
    found: list[int] = []
    take = Intake.take

    def counted(intake: Intake, store: Store, entries: Sequence[Entry]) -> bool:
        found.append(len(entries))
        return take(intake, store, entries)

    monkeypatch.setattr(Intake, "take", counted)
    return found


@pytest.mark.parametrize("is_busy", [False, True])
def test_results_that_come_one_by_one_share_transactions(
    is_busy: bool, sizes: list[int], client: Redis, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together_s = 0.5
    monkeypatch.setattr("devicevault.daemons.consumer.BUSY_PER_S", 5.0 if is_busy else 1e9)
    monkeypatch.setattr("devicevault.daemons.consumer.BUSY_TOGETHER_S", together_s if is_busy else 0.0)
    monkeypatch.setattr("devicevault.daemons.consumer.TOGETHER_S", 0.0 if is_busy else together_s)
    results = queued(sqlite_url, *(f"sw{number}" for number in range(20)))
    with running(client, sqlite_url):
        began = time.monotonic()
        for one in results:
            publish(client, STREAM, one)
            time.sleep(0.01)
        wait_for_rows(sqlite_url, 20)
        took_s = time.monotonic() - began
    assert sum(sizes) == 20
    # Each result by itself would be 20. Only the second batch tells that many come.
    assert len(sizes) <= (3 if is_busy else 2) + took_s / together_s


def test_a_result_that_comes_alone_is_not_made_to_wait_for_a_run(
    client: Redis, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devicevault.daemons.consumer.BUSY_TOGETHER_S", 4 * WITHIN_S)
    results = queued(sqlite_url, *(f"sw{number}" for number in range(5)))
    with running(client, sqlite_url):
        for stored, one in enumerate(results, 1):
            publish(client, STREAM, one)
            wait_for_rows(sqlite_url, stored)


def test_a_batch_is_not_followed_by_questions_about_the_stream(
    sizes: list[int], client: Redis, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims: list[int] = []
    trim = ResultReader.trim

    def counted(reader: ResultReader) -> int:
        trims.append(len(sizes))
        return trim(reader)

    monkeypatch.setattr(ResultReader, "trim", counted)
    for one in queued(sqlite_url, *(f"sw{number}" for number in range(40))):
        publish(client, STREAM, one)
    began = time.monotonic()
    with running(client, sqlite_url, batch_entries=1):
        wait_for_rows(sqlite_url, 40)
        took_s = time.monotonic() - began
    assert len(sizes) == 40
    assert len(trims) <= 2 + took_s / TRIM_S
