"""The lock on a device, in a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from devicevault import names
from devicevault.collector.lock import DeviceLocks
from devicevault.errors import DeviceLocked, ServiceUnavailable
from devicevault.stream import connect_redis
from tests.servers import wait_until

pytestmark = pytest.mark.services

KEY = names.lock_for("r1")


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect_redis(redis_url) as client:
        yield client


def test_another_task_is_turned_away_and_told_who_holds_the_lock(client: Redis) -> None:
    locks = DeviceLocks(client)
    held = locks.acquire("r1", "task-1", 60)
    with pytest.raises(DeviceLocked, match="task-1"):
        DeviceLocks(client).acquire("r1", "task-2", 60)
    locks.release(held)
    locks.release(locks.acquire("r1", "task-2", 60))


def test_a_task_delivered_again_takes_its_own_lock_over(client: Redis) -> None:
    dead, alive = DeviceLocks(client), DeviceLocks(client)
    left = dead.acquire("r1", "task-1", 60)
    held = alive.acquire("r1", "task-1", 60)
    assert client.get(KEY) == b"task-1"
    dead.release(left)
    alive.release(held)


def test_a_lock_outlives_its_lifetime_while_it_is_held(client: Redis) -> None:
    locks = DeviceLocks(client, lifetime_s=0.6, renewal_s=0.1)
    held = locks.acquire("r1", "task-1", 60)
    lowest = 600
    for _ in range(200):
        lowest = min(lowest, int(client.pttl(KEY)))
    client.pexpire(KEY, 150)
    wait_until(lambda: int(client.pttl(KEY)) > 300, 5, or_say=lambda: f"{client.pttl(KEY)} ms left")
    assert lowest > 0
    locks.release(held)
    assert not client.exists(KEY)


def test_a_lock_comes_back_after_redis_forgot_it(client: Redis) -> None:
    locks = DeviceLocks(client, renewal_s=0.05)
    held = locks.acquire("r1", "task-1", 60)
    client.flushall()
    wait_until(lambda: client.get(KEY) == b"task-1", 5, or_say=lambda: "the lock did not come back")
    locks.release(held)


def test_after_its_horizon_a_lock_is_renewed_no_more(client: Redis) -> None:
    """A thread stuck beyond every limit must not keep a device from being collected for ever."""
    locks = DeviceLocks(client, lifetime_s=0.3, renewal_s=0.05)
    held = locks.acquire("r1", "task-1", 0.2)
    wait_until(lambda: not client.exists(KEY), 5, or_say=lambda: "the lock is still there")
    locks.release(held)


def test_a_lock_redis_does_not_take_back_is_given_back_when_it_does(client: Redis) -> None:
    locks = DeviceLocks(client)
    held = locks.acquire("r1", "task-1", 60)
    client.config_set("min-replicas-to-write", 1)  # Redis refuses every write
    try:
        locks.release(held)
        assert client.exists(KEY)
    finally:
        client.config_set("min-replicas-to-write", 0)
    wait_until(lambda: not client.exists(KEY), 10, or_say=lambda: f"{client.pttl(KEY)} ms left")


def test_giving_back_does_not_touch_what_became_another_tasks_lock(client: Redis) -> None:
    locks = DeviceLocks(client)
    held = locks.acquire("r1", "task-1", 60)
    client.set(KEY, "task-2")
    locks.release(held)
    assert client.get(KEY) == b"task-2"


def test_without_redis_there_is_no_lock_and_a_sentence() -> None:
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        DeviceLocks(connect_redis("redis://127.0.0.1:1/1")).acquire("r1", "task-1", 60)
