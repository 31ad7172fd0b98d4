"""A consumer with more processes while many results wait: whatever becomes of them, each result is stored once."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import func, select

from devicevault.store import open_store
from devicevault.store.models import DeviceBackupResult
from devicevault.stream import publish
from tests.consuming import STREAM, WITHIN_S, dead_letters, process, queued, revisions_of, wait_for_no_pending
from tests.servers import free_port, wait_until

pytestmark = pytest.mark.services

RESULTS = 1200
#: A backlog of any size is worth a further process.
BUSY = """
from devicevault.daemons import backlog, consumer
backlog.WORTH_S, backlog.SILENT_S = 1e-6, {silent_s}
consumer.main()
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def names(client: Redis, database_url: str) -> list[str]:
    """The devices whose results wait."""
    sent = queued(database_url, *(f"sw{number}" for number in range(RESULTS)))
    for one in sent:
        publish(client, STREAM, one)
    return [one.device for one in sent]


@contextmanager
def consuming(redis_url: str, database_url: str, *, silent_s: float = 60, **variables: str) -> Iterator[int]:
    """The consumer's process."""
    usual = {
        "DEVICEVAULT_CONSUMER__BATCH_ENTRIES": "5",
        "DEVICEVAULT_CONSUMER__PROCESSES": "2",
        "DEVICEVAULT_CONSUMER__CLAIM_IDLE_S": "1",
        "DEVICEVAULT_LOG__LEVEL": "warning",
        "DEVICEVAULT_METRICS__LISTEN": "",
        "DEVICEVAULT_CONSUMER__NAME": "here",
    }
    with process(redis_url, database_url, BUSY.format(silent_s=silent_s), **{**usual, **variables}) as daemon:
        yield daemon.pid


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def consumers(client: Redis) -> set[bytes]:
    """Those that have read the stream."""
    if client.xinfo_stream(STREAM)["groups"] == 0:
        return set()
    return {one["name"] for one in client.xinfo_consumers(STREAM, "devicevault")}


def child_at_work(client: Redis, pid: int) -> int:
    """A further process, once it was given results."""

    def has_read() -> bool:
        return b"here#2" in consumers(client)

    wait_until(has_read, WITHIN_S, or_say=lambda: "no further process reads")
    return children(pid)[0]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def statuses(database_url: str) -> dict[str, int]:
    with open_store(database_url) as store, store.reading() as session:
        query = select(DeviceBackupResult.status, func.count()).group_by(DeviceBackupResult.status)
        return dict(session.execute(query).all())


def wait_until_stored(client: Redis, database_url: str) -> None:
    wait_until(
        lambda: statuses(database_url) == {"success": RESULTS}, 90, or_say=lambda: f"{statuses(database_url)} are there"
    )
    wait_for_no_pending(client)


def each_is_stored_once(client: Redis, database_url: str, names: list[str]) -> None:
    assert statuses(database_url) == {"success": RESULTS}
    assert set(revisions_of(database_url, names).values()) == {1}
    assert [letter["dead_reason"] for letter in dead_letters(client)] == []


def test_all_of_its_processes_store_and_its_metrics_count_what_each_did(
    client: Redis, redis_url: str, database_url: str, names: list[str]
) -> None:
    port = free_port()
    with consuming(
        redis_url,
        database_url,
        DEVICEVAULT_METRICS__LISTEN=f"127.0.0.1:{port}",
        DEVICEVAULT_CONSUMER__PROCESSES="3",
    ) as pid:
        wait_until_stored(client, database_url)
        assert consumers(client) == {b"here", b"here#2", b"here#3"}
        wait_until(lambda: not children(pid), WITHIN_S, or_say=lambda: "they do not end though nothing waits")

        def counted() -> Counter[str]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
            found = re.findall(r"^devicevault_(\w+)(?:{[^}]*})? ([\d.]+)$", text, re.MULTILINE)
            return Counter({name: int(float(value)) for name, value in found if name in wanted})

        wanted = {"results_total": RESULTS, "revisions_total": RESULTS, "session_seconds_count": RESULTS}
        wait_until(lambda: counted() == wanted, WITHIN_S, or_say=lambda: str(counted()))
    each_is_stored_once(client, database_url, names)


def test_what_a_killed_process_had_in_hand_is_taken_over(
    client: Redis, redis_url: str, database_url: str, names: list[str]
) -> None:
    with consuming(redis_url, database_url) as pid:
        os.kill(child_at_work(client, pid), signal.SIGKILL)
        wait_until_stored(client, database_url)
    each_is_stored_once(client, database_url, names)


def test_a_process_that_hangs_is_killed_and_what_it_had_in_hand_is_taken_over(
    client: Redis, redis_url: str, database_url: str, names: list[str]
) -> None:
    """It may even have hung in the middle of a transaction, which all others wait for."""
    with consuming(redis_url, database_url, silent_s=2) as pid:
        hung = child_at_work(client, pid)
        os.kill(hung, signal.SIGSTOP)
        wait_until(lambda: is_gone(hung), WITHIN_S, or_say=lambda: "it still hangs")
        wait_until_stored(client, database_url)
    each_is_stored_once(client, database_url, names)


def test_no_process_outlives_the_consumer_and_the_next_one_stores_the_rest(
    client: Redis, redis_url: str, database_url: str, names: list[str]
) -> None:
    with consuming(redis_url, database_url) as pid:
        child = child_at_work(client, pid)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: is_gone(child), WITHIN_S, or_say=lambda: "it runs though nobody hears it")
    with consuming(redis_url, database_url):
        wait_until_stored(client, database_url)
    each_is_stored_once(client, database_url, names)


def test_told_to_stop_each_process_finishes_what_it_has_in_hand(
    client: Redis, redis_url: str, database_url: str, names: list[str]
) -> None:
    usual = {"DEVICEVAULT_CONSUMER__BATCH_ENTRIES": "5", "DEVICEVAULT_CONSUMER__PROCESSES": "2"}
    with process(
        redis_url,
        database_url,
        BUSY.format(silent_s=60),
        **usual,
        DEVICEVAULT_CONSUMER__NAME="here",
        DEVICEVAULT_LOG__LEVEL="warning",
    ) as daemon:
        child = child_at_work(client, daemon.pid)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(WITHIN_S) == 0
        assert is_gone(child)
    assert statuses(database_url)["queued"] > 0, "it had stored all before it was told to stop"
    wait_for_no_pending(client)
    with consuming(redis_url, database_url):
        wait_until_stored(client, database_url)
    each_is_stored_once(client, database_url, names)
