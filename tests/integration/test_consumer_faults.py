"""The consumer while Redis or the database is away: it waits, says so, and loses nothing."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import event
from sqlalchemy.pool import Pool

from devicevault.daemons import consumer
from devicevault.stream import connect_redis, publish
from tests.conftest import missing, started
from tests.consuming import (
    STREAM,
    WITHIN_S,
    dead_letters,
    queued,
    running,
    wait_for_rows,
)
from tests.durability.disk import small_disk
from tests.results import artifact, request, result
from tests.servers import PostgreSQLServer, postgresql_server, redis_server, wait_until

pytestmark = pytest.mark.services


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
    client: Redis,
    postgresql: PostgreSQLServer,
    postgresql_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It asks the database as well, and would wait for it with nothing in hand.
    monkeypatch.setattr(consumer, "sweep", lambda *_: [])
    first, second = queued(postgresql_url, "first", "second")
    with running(client, postgresql_url) as running_consumer:
        publish(client, STREAM, first)
        wait_for_rows(postgresql_url, 1)
        postgresql.stop()
        try:
            publish(client, STREAM, second)
            wait_until(lambda: "trying again" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
            running_consumer.end()
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


def test_it_waits_for_a_database_that_is_locked(
    client: Redis, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("devicevault.store.sqlite.LOCK_WAIT_S", 0.1)
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


def test_it_waits_while_postgresqls_disk_is_full(
    client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk of its own, which is filled up; PostgreSQL refuses then, or goes down."""
    if os.geteuid() != 0:
        missing("a disk that can be filled needs root")
    (tmp_path / "files").mkdir()
    # pytest's own folders are closed to the user postgres.
    with tempfile.TemporaryDirectory() as outside, small_disk(Path(outside) / "disk", 160) as disk:
        Path(outside).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
        with started(postgresql_server(tmp_path / "files")) as server:
            monkeypatch.setattr(tempfile, "tempdir", None)
            database_url = server.create_database("devicevault")
            before, large = queued(database_url, "before", "large")
            noise = random.Random(1).randbytes(450_000).hex()
            with running(client, database_url, max_deliveries=1):
                publish(client, STREAM, before)
                wait_for_rows(database_url, 1)
                disk.fill()
                publish(client, STREAM, large.model_copy(update={"artifacts": (artifact(noise),)}))
                wait_until(lambda: "trying again" in caplog.text, WITHIN_S, or_say=lambda: caplog.text)
                disk.clear()
                if server.process.process is not None and server.process.process.poll() is not None:
                    server.start()
                found = wait_for_rows(database_url, 2)
    assert {name: row.status for name, row in found.items()} == {"before": "success", "large": "success"}
    assert dead_letters(client) == []
