"""What ends a session from outside."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from devicevault.collector.deadline import Alarms, Limit
from devicevault.errors import CollectionInterrupted, DeviceVaultError, SessionTimeout


def test_alarms_go_off_in_the_order_of_their_times() -> None:
    alarms = Alarms()
    order: list[int] = []
    rung = threading.Event()
    now = time.monotonic()
    alarms.set(now + 0.15, rung.set)
    for number in (2, 1, 0):
        alarms.set(now + 0.03 * number, lambda number=number: order.append(number))  # type: ignore[misc]
    assert rung.wait(5)
    assert order == [0, 1, 2]


def test_an_earlier_alarm_set_later_does_not_wait_for_the_others() -> None:
    alarms = Alarms()
    alarms.set(time.monotonic() + 3600, lambda: None)
    rung = threading.Event()
    alarms.set(time.monotonic() + 0.01, rung.set)
    assert rung.wait(5)


def test_a_cancelled_alarm_is_forgotten() -> None:
    alarms = Alarms()
    rung, other = threading.Event(), threading.Event()
    alarms.cancel(alarms.set(time.monotonic() + 0.02, rung.set))
    alarms.set(time.monotonic() + 0.1, other.set)
    assert other.wait(5)
    assert not rung.is_set()
    assert len(alarms) == 0


def test_a_callback_that_fails_does_not_stop_the_others() -> None:
    alarms = Alarms()
    rung = threading.Event()

    def fail() -> None:
        raise RuntimeError("a fault of our own")

    alarms.set(time.monotonic(), fail)
    alarms.set(time.monotonic() + 0.02, rung.set)
    assert rung.wait(5)


def test_alarms_work_in_a_forked_child() -> None:
    """Celery's prefork pool forks a process that may have set alarms before."""
    alarms = Alarms()
    first = threading.Event()
    alarms.set(time.monotonic(), first.set)
    assert first.wait(5)
    child = os.fork()
    if child == 0:
        rung = threading.Event()
        alarms.set(time.monotonic(), rung.set)
        os._exit(0 if rung.wait(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_deadline_wakes_a_read_that_nothing_else_would() -> None:
    ours, _theirs = socket.socketpair()
    with Limit(0.1) as limit:
        limit.step = "reading"
        limit.guard(ours)
        assert ours.recv(1) == b""
        with pytest.raises(SessionTimeout, match=r"0\.1 s were over while reading"):
            limit.check()


def test_a_socket_guarded_after_the_deadline_is_shut_at_once() -> None:
    ours, _theirs = socket.socketpair()
    with Limit(60) as limit:
        limit.end(CollectionInterrupted("stopping"))
        limit.guard(ours)
        assert ours.recv(1) == b""


def test_the_first_reason_stands() -> None:
    with Limit(60) as limit:
        limit.end(CollectionInterrupted("stopping"))
        limit.end(SessionTimeout("too late"))
        with pytest.raises(DeviceVaultError, match="stopping"):
            limit.check()


def test_within_its_time_a_session_goes_on() -> None:
    with Limit(60) as limit:
        limit.check()
        assert 59 < limit.remaining_s <= 60
