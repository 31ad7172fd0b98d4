"""The consumer: every result becomes one row, whatever dies on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import event
from sqlalchemy.pool import Pool

from devicevault.daemons.consumer import Consumer
from devicevault.daemons.service import Progress
from devicevault.errors import ConfigurationError
from devicevault.messages import CollectResult
from devicevault.settings import ConsumerSettings
from devicevault.store import open_run, open_store, queue_requests, reader, schema
from devicevault.store.engine import connect
from devicevault.store.reader import ResultSummary
from devicevault.store.sweep import Waits
from devicevault.stream import ResultReader, connect_redis, encode, publish
from tests.results import artifact, request, result
from tests.servers import PostgreSQLServer, redis_server, wait_until

pytestmark = pytest.mark.services

STREAM = "device:results"
DEAD = f"{STREAM}:dead"
WITHIN_S = 30
#: The tests' requests are of a morning long ago.
WAITS = Waits(queue=timedelta(days=36_500), session=timedelta(hours=1))


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect_redis(redis_url) as connected:
        yield connected


class Running:
    """A consumer in a thread of this process."""

    def __init__(self, redis: Redis, database_url: str, name: str = "here", **values: Any) -> None:
        settings = ConsumerSettings(**{"block_ms": 20, **values})
        self.stop = threading.Event()
        self.error: BaseException | None = None
        consumer = Consumer(
            lambda: open_store(database_url, migrate=True),
            ResultReader(redis, STREAM, name, settings),
            settings,
            WAITS,
            known_key_ids={"plain", "ours"},
            max_bytes=1_000_000,
            stop=self.stop,
            progress=Progress(),
        )
        self.thread = threading.Thread(target=self._run, args=(consumer,))

    def _run(self, consumer: Consumer) -> None:
        try:
            consumer.run()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self.error = error

    def end(self) -> None:
        self.stop.set()
        self.thread.join(WITHIN_S)
        assert not self.thread.is_alive()


@contextmanager
def running(redis: Redis, database_url: str, name: str = "here", **values: Any) -> Iterator[Running]:
    consumer = Running(redis, database_url, name, **values)
    consumer.thread.start()
    try:
        yield consumer
    finally:
        consumer.end()
    assert consumer.error is None


def rows(database_url: str) -> dict[str, ResultSummary]:
    """Every device's newest row, by the device's name."""
    try:
        store = open_store(database_url)
    except ConfigurationError:
        return {}  # the consumer has not made it yet
    with store, store.reading() as session:
        return {state.device: state.latest for state in reader.device_states(session) if state.latest}


def wait_for_rows(database_url: str, number: int) -> dict[str, ResultSummary]:
    def done() -> bool:
        return sum(row.is_final for row in rows(database_url).values()) >= number

    wait_until(done, WITHIN_S, or_say=lambda: f"{len(rows(database_url))} of {number} rows: {rows(database_url)}")
    return rows(database_url)


def wait_for_no_pending(client: Redis) -> None:
    """Acknowledging follows the commit."""

    def pending() -> int:
        found: Any = client.xpending(STREAM, "devicevault")
        return int(found["pending"])

    wait_until(lambda: pending() == 0, WITHIN_S, or_say=lambda: f"{pending()} entries are still pending")


def dead_letters(client: Redis) -> list[dict[str, str]]:
    found: Any = client.xrange(DEAD)
    return [{name.decode(): value.decode(errors="replace") for name, value in fields.items()} for _, fields in found]


def queued(database_url: str, *devices: str) -> list[CollectResult]:
    """Successes of tasks that are queued in the database."""
    requests = [request(device) for device in devices]
    with open_store(database_url, migrate=True) as store, store.session() as session:
        queue_requests(session, open_run(session, asked_by="ann"), requests)
    return [result(one, "success", f"hostname {one.device}\n") for one in requests]


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


def test_it_waits_for_a_database_that_is_away(
    client: Redis, postgresql: PostgreSQLServer, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = queued(postgresql_url, "first", "second")
    with running(client, postgresql_url, max_deliveries=1):
        publish(client, STREAM, first)
        wait_for_rows(postgresql_url, 1)
        postgresql.stop()
        try:
            publish(client, STREAM, second)
            wait_until(lambda: "trying again" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
        finally:
            postgresql.start()
        assert wait_for_rows(postgresql_url, 2)["second"].status == "success"
    assert dead_letters(client) == []
    assert caplog.text.count("trying again") <= 3  # once for each thing that is said, not for each try


def test_it_starts_while_the_database_is_away(
    client: Redis, postgresql: PostgreSQLServer, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(client, STREAM, result(request(), "success", "hostname a\n"))
    postgresql.stop()
    try:
        with running(client, postgresql_url):
            wait_until(lambda: "trying again" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
            postgresql.start()
            wait_for_rows(postgresql_url, 1)
    finally:
        if postgresql.process.process is None:
            postgresql.start()


def test_it_ends_when_told_to_while_the_database_is_away(
    client: Redis, postgresql: PostgreSQLServer, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = queued(postgresql_url, "first", "second")
    with running(client, postgresql_url) as consumer:
        publish(client, STREAM, first)
        wait_for_rows(postgresql_url, 1)
        postgresql.stop()
        try:
            publish(client, STREAM, second)
            wait_until(lambda: "trying again" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
            consumer.end()
        finally:
            postgresql.start()
    found: Any = client.xpending(STREAM, "devicevault")
    assert found["pending"] == 1
    with running(client, postgresql_url):
        assert wait_for_rows(postgresql_url, 2)["second"].status == "success"


def test_it_goes_on_after_redis_was_killed(tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(tmp_path) as server, connect_redis(server.url) as client, running(client, sqlite_url):
        publish(client, STREAM, result(request("first"), "failure"))
        wait_for_rows(sqlite_url, 1)
        server.kill()
        wait_until(lambda: "trying again" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
        server.start()
        publish(client, STREAM, result(request("second"), "failure"))
        wait_for_rows(sqlite_url, 2)


def test_two_consumers_at_once_store_each_result_once(client: Redis, sqlite_url: str) -> None:
    """They even take entries from each other, as after a pause of one of them."""
    results = queued(sqlite_url, *(f"sw{number}" for number in range(200)))
    with (
        running(client, sqlite_url, "one", batch_entries=3, claim_idle_s=0.01, max_deliveries=1000),
        running(client, sqlite_url, "two", batch_entries=3, claim_idle_s=0.01, max_deliveries=1000),
    ):
        for sent in results:
            publish(client, STREAM, sent)
        found = wait_for_rows(sqlite_url, 200)
        wait_for_no_pending(client)
    assert {row.status for row in found.values()} == {"success"}
    assert revisions_of(sqlite_url, found) == dict.fromkeys(found, 1)
    assert dead_letters(client) == []


def revisions_of(database_url: str, devices: Iterable[str]) -> dict[str, int]:
    with open_store(database_url) as store, store.reading() as session:
        return {
            name: len(reader.device_revisions(session, reader.find_device(session, name), limit=9)) for name in devices
        }


def test_it_waits_for_a_database_that_is_locked(
    client: Redis, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("devicevault.store.engine.LOCK_WAIT_S", 0.1)
    (sent,) = queued(sqlite_url, "sw")
    path = sqlite_url.removeprefix("sqlite:///")
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
        running(client, sqlite_url, max_deliveries=1),
    ):
        other.execute("BEGIN IMMEDIATE")
        publish(client, STREAM, sent)
        wait_until(lambda: "database is locked" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
        other.execute("ROLLBACK")
        assert wait_for_rows(sqlite_url, 1)["sw"].status == "success"
    assert dead_letters(client) == []


def test_it_waits_while_the_disk_is_full(client: Redis, sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite bounded to the pages it has tells the same as a disk without room."""
    (sent,) = queued(sqlite_url, "sw")
    large = sent.model_copy(update={"artifacts": (artifact("".join(map(str, range(100_000)))),)})
    room = threading.Event()

    def bound(connection: Any, _record: Any) -> None:
        if not room.is_set():
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(connection: Any, *_: Any) -> None:
        if room.is_set():
            connection.execute("PRAGMA max_page_count = 1000000")

    event.listen(Pool, "connect", bound)
    event.listen(Pool, "checkout", make_room)
    try:
        with running(client, sqlite_url, max_deliveries=1):
            publish(client, STREAM, large)
            wait_until(lambda: "disk is full" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
            room.set()
            assert wait_for_rows(sqlite_url, 1)["sw"].status == "success"
    finally:
        event.remove(Pool, "connect", bound)
        event.remove(Pool, "checkout", make_room)
    assert "make room on its disk" in caplog.text
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


def test_a_text_that_shrank_is_told_in_the_journal(
    client: Redis, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(client, STREAM, result(request("sw"), "success", "x" * 100))
    publish(client, STREAM, result(request("sw", minutes=1), "success", "x" * 79))
    with running(client, sqlite_url, suspect_shrink=0.2):
        wait_until(lambda: "sw: suspect: " in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
    assert rows(sqlite_url)["sw"].status == "suspect"


KILLED = """
import os, signal
from devicevault.daemons import consumer
from devicevault.stream import ResultReader
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
ResultReader.{method} = die
consumer.main()
"""


@pytest.mark.parametrize("method", ["acknowledge", "trim"])
def test_killed_between_commit_and_what_follows_it_writes_nothing_twice(
    method: str, client: Redis, redis_url: str, sqlite_url: str
) -> None:
    for sent in queued(sqlite_url, "a", "b"):
        publish(client, STREAM, sent)
    with process(redis_url, sqlite_url, KILLED.format(method=method)) as daemon:
        assert daemon.wait(WITHIN_S) == -signal.SIGKILL
    assert {row.status for row in rows(sqlite_url).values()} == {"success"}
    with running(client, sqlite_url, socket.gethostname()):
        wait_for_no_pending(client)
    assert revisions_of(sqlite_url, ["a", "b"]) == {"a": 1, "b": 1}
    assert {row.status for row in rows(sqlite_url).values()} == {"success"}
    assert dead_letters(client) == []


@contextmanager
def process(
    redis_url: str,
    database_url: str,
    code: str = "from devicevault.daemons.consumer import main; main()",
    **variables: str,
) -> Iterator[subprocess.Popen[str]]:
    """The daemon as systemd starts it."""
    environ = {
        **os.environ,
        "DEVICEVAULT_REDIS_URL": redis_url,
        "DEVICEVAULT_DATABASE_URL": database_url,
        "DEVICEVAULT_VAULT__ORIGINALS": "plain",
        "DEVICEVAULT_CONSUMER__BLOCK_MS": "50",
        "DEVICEVAULT_CONSUMER__MAX_DELIVERIES": "100",
        "DEVICEVAULT_QUEUE__WAIT_S": "3e9",
        **variables,
    }
    command = [sys.executable, "-c", code]
    daemon = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield daemon
    finally:
        daemon.kill()
        daemon.communicate()


def test_the_daemon_tells_systemd_that_it_is_ready_and_ends_at_sigterm(
    client: Redis, redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(WITHIN_S)
        with process(redis_url, sqlite_url, NOTIFY_SOCKET=str(tmp_path / "notify")) as daemon:
            assert systemd.recv(1000).startswith(b"READY=1\n")
            publish(client, STREAM, result(request(), "success", "hostname a\n"))
            wait_for_rows(sqlite_url, 1)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(WITHIN_S) == 0


def test_killed_again_and_again_it_loses_nothing_and_writes_nothing_twice(
    client: Redis, redis_url: str, sqlite_url: str
) -> None:
    results = queued(sqlite_url, *(f"sw{number}" for number in range(300)))
    for killed_after in range(0, 300, 75):
        for one in results[killed_after : killed_after + 75]:
            publish(client, STREAM, one)
        with process(redis_url, sqlite_url, DEVICEVAULT_CONSUMER__BATCH_ENTRIES="20") as daemon:
            wait_for_rows(sqlite_url, killed_after + 10)
            daemon.kill()
            daemon.wait()
    with process(redis_url, sqlite_url):
        found = wait_for_rows(sqlite_url, 300)
        wait_for_no_pending(client)
    assert {row.status for row in found.values()} == {"success"}
    with open_store(sqlite_url) as store, store.reading() as session:
        for name in found:
            device = reader.find_device(session, name)
            assert len(reader.device_results(session, device, limit=9)) == 1
            assert len(reader.device_revisions(session, device, limit=9)) == 1
    assert dead_letters(client) == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"DEVICEVAULT_VAULT__ORIGINALS": "sealed", "DEVICEVAULT_VAULT__PUBLIC_KEY": "/not/there"}, "/not/there"),
        ({"DEVICEVAULT_DATABASE_URL": "mysql://host/db"}, "DEVICEVAULT_DATABASE_URL"),
        ({"DEVICEVAULT_CONSUMER__BLOCK_MS": "soon"}, "DEVICEVAULT_CONSUMER__BLOCK_MS"),
    ],
)
def test_what_an_operator_must_mend_ends_it_with_78_and_a_line(
    variables: dict[str, str], told: str, redis_url: str, sqlite_url: str
) -> None:
    with process(redis_url, sqlite_url, **variables) as daemon:
        output, _ = daemon.communicate(timeout=WITHIN_S)
        assert daemon.returncode == 78
    assert told in output
    assert "Traceback" not in output


def test_a_database_of_a_newer_release_is_not_touched(redis_url: str, sqlite_url: str) -> None:
    engine = connect(sqlite_url, create=True)
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with process(redis_url, sqlite_url) as daemon:
        output, _ = daemon.communicate(timeout=WITHIN_S)
        assert daemon.returncode == 78
    assert "newer release" in output
