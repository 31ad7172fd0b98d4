"""A request delivered twice to one process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devicevault.collector.deliveries import Deliveries


def test_a_second_delivery_waits_for_the_first_and_finds_the_task_done() -> None:
    deliveries = Deliveries()
    entered, finish = threading.Event(), threading.Event()

    def first() -> bool:
        with deliveries.work("task-1") as done:
            entered.set()
            assert finish.wait(5)
            return done

    def second() -> bool:
        with deliveries.work("task-1") as done:
            return done

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert entered.wait(5)
        two = pool.submit(second)
        with deliveries.work("task-2") as done:
            assert not done
        assert not two.done()
        finish.set()
        assert (one.result(5), two.result(5)) == (False, True)


def test_a_delivery_that_was_interrupted_leaves_the_task_to_be_done() -> None:
    deliveries = Deliveries()
    with pytest.raises(KeyError), deliveries.work("task-1"):
        raise KeyError
    with deliveries.work("task-1") as done:
        assert not done


def test_only_the_newest_are_remembered() -> None:
    deliveries = Deliveries(remembered=2)
    for task in ("a", "b", "c"):
        with deliveries.work(task):
            pass
    with deliveries.work("c") as newest, deliveries.work("a") as oldest:
        assert (newest, oldest) == (True, False)
