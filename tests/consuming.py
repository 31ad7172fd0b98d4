"""Consumers for the tests, in a thread or as a process, and what there is of them in stream and database."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from redis import Redis

from devicevault.daemons.consumer import Consumer
from devicevault.daemons.rules import Rules
from devicevault.daemons.service import Progress
from devicevault.errors import ConfigurationError
from devicevault.messages import CollectResult
from devicevault.settings import ConsumerSettings
from devicevault.store import open_run, open_store, queue_requests, reader
from devicevault.store.reader import ResultSummary
from devicevault.store.sweep import Waits
from devicevault.stream import ResultReader
from tests.results import request, result
from tests.servers import wait_until

STREAM = "device:results"
DEAD = f"{STREAM}:dead"
WITHIN_S = 30
#: The tests' requests are of a morning long ago.
WAITS = Waits(queue=timedelta(days=36_500), session=timedelta(hours=1))


class Running:
    """A consumer in a thread of this process."""

    def __init__(self, redis: Redis, database_url: str, name: str = "here", **values: Any) -> None:
        settings = ConsumerSettings(**{"block_ms": 20, **values})
        self.stop = threading.Event()
        self.error: BaseException | None = None
        consumer = Consumer(
            lambda: open_store(database_url, migrate=True),
            ResultReader(redis, STREAM, name, settings),
            Rules(settings, WAITS, frozenset({"plain", "ours"}), max_bytes=1_000_000),
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


def revisions_of(database_url: str, devices: Iterable[str]) -> dict[str, int]:
    with open_store(database_url) as store, store.reading() as session:
        return {
            name: len(reader.device_revisions(session, reader.find_device(session, name), limit=9)) for name in devices
        }


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
