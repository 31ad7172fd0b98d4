"""Two consumers of one PostgreSQL: each notice is written and delivered by one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import event

from devicevault.errors import ServiceUnavailable
from devicevault.outputs.loop import Loop
from devicevault.store import Store, open_store
from devicevault.store.turns import alone
from tests.servers import wait_until

pytestmark = pytest.mark.services


class Counted:
    """An output that notes how many are at it at the same time."""

    name = "counted"
    every_s = 0.01
    least_pause_s = 0.0

    def __init__(self) -> None:
        self.at_once: list[int] = []
        self._here = 0

    def turn(self, store: Store) -> float | None:
        self._here += 1
        self.at_once.append(self._here)
        time.sleep(0.02)
        self._here -= 1
        return None


@pytest.fixture
def stores(postgresql_url: str) -> Iterator[tuple[Store, Store]]:
    with open_store(postgresql_url, migrate=True) as one, open_store(postgresql_url) as two:
        yield one, two


def test_one_at_a_time_and_the_other_after_it(stores: tuple[Store, Store]) -> None:
    one, two = stores
    with alone(one, "notices") as first:
        with alone(two, "notices") as second, alone(two, "mirror") as elsewhere:
            assert (first, second, elsewhere) == (True, False, True)
        with alone(two, "notices") as still:
            assert not still, "who was refused takes nothing away"
    with alone(two, "notices") as second:
        assert second


def test_a_turn_that_fails_gives_way(stores: tuple[Store, Store]) -> None:
    one, two = stores
    with pytest.raises(RuntimeError), alone(one, "notices"):
        raise RuntimeError
    with alone(two, "notices") as second:
        assert second


def test_turns_are_given_back_without_a_new_connection_for_each(stores: tuple[Store, Store]) -> None:
    """PostgreSQL takes notice of a connection's end a moment later, and would refuse the next one until then."""
    one, two = stores
    connections: list[Store] = []
    for store in stores:
        store.ping()
        event.listen(store.engine, "connect", lambda *_, store=store: connections.append(store))
    for _ in range(5):
        for store in (one, two):
            with alone(store, "notices") as is_ours:
                assert is_ours
    assert connections == []


def test_a_turn_without_the_database_takes_its_lock_along(stores: tuple[Store, Store]) -> None:
    """Nobody asks a PostgreSQL that is away for anything more."""
    one, two = stores
    with pytest.raises(ServiceUnavailable), alone(one, "notices"):
        raise ServiceUnavailable("it is away", "wait")

    def is_free() -> bool:
        with alone(two, "notices") as second:
            return second

    wait_until(is_free, 30, or_say=lambda: "the lock is held still")


def test_two_loops_take_turns(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devicevault.outputs.loop.TAKEN_S", 0.01)
    open_store(postgresql_url, migrate=True).close()
    output = Counted()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(Loop(output, lambda: postgresql_url, threading.Event()))
        wait_until(lambda: len(output.at_once) >= 20, 30, or_say=lambda: str(output.at_once))
    assert set(output.at_once) == {1}


def test_the_only_consumer_of_a_file_is_always_alone(sqlite_url: str) -> None:
    with open_store(sqlite_url, migrate=True) as store, alone(store, "notices") as first:
        assert first
