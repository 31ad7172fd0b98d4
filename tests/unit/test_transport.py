"""The thread under each SSH session: it ends with its session, and is not in the way meanwhile."""

from __future__ import annotations

import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import Mock

import paramiko
import pytest

from devicevault.collector.transport import Transport
from devicevault.demo.fleet import Fleet, SimulatedDevice

WAIT_S = 1.2


@contextmanager
def few_wakings() -> Iterator[None]:
    """A thread that waits wakes up for the end of it and once a second, not ten times."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    began = time.monotonic()
    yield
    assert time.monotonic() - began >= WAIT_S
    # Those of the start, and of the log, are among them.
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before < WAIT_S * 10 - 3


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-Device\r\n"])
def test_a_closed_transport_ends_its_thread_at_once(greeting: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        transport = Transport(near)
        with pytest.raises(paramiko.SSHException):
            transport.start_client(timeout=0.3)
        assert transport.is_alive()
        far.sendall(greeting)
        transport.close()
        transport.join(Transport._active_check_timeout / 2)
        assert not transport.is_alive()
        assert transport not in threading.enumerate()


def test_a_changed_packet_is_still_noticed() -> None:
    assert paramiko.util.constant_time_bytes_eq(b"digest", b"digest")
    assert not paramiko.util.constant_time_bytes_eq(b"digest", b"digesT")
    assert not paramiko.util.constant_time_bytes_eq(b"digest", b"diges")


def test_who_waits_for_a_banner_sleeps() -> None:
    near, far = socket.socketpair()
    with near, far:
        transport = Transport(near)
        with few_wakings(), pytest.raises(paramiko.SSHException):
            transport.start_client(timeout=WAIT_S)
        transport.close()


def test_who_waits_for_a_login_sleeps() -> None:
    waiting = Mock(auth_timeout=WAIT_S)
    waiting.is_active.return_value = True
    with few_wakings(), pytest.raises(paramiko.AuthenticationException, match="timeout"):
        paramiko.transport.AuthHandler(waiting).wait_for_response(threading.Event())


def test_a_login_ends_with_its_transport_though_nobody_says_so() -> None:
    gone = Mock(auth_timeout=60.0)
    gone.is_active.return_value, gone.get_exception.return_value = False, None
    with pytest.raises(paramiko.AuthenticationException, match="shut down"):
        paramiko.transport.AuthHandler(gone).wait_for_response(threading.Event())


def test_a_session_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def counted(thread: threading.Thread) -> None:
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", counted)
    device = SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        transport = Transport(socket.create_connection((fleet.address, fleet.port("r1"))))
        transport.connect(username=device.username, password=device.password)
        transport.close()
    # The simulated device's own are named otherwise.
    assert [thread for thread in started if not thread.name.startswith(("fleet", "asyncio_"))] == [transport]


def test_a_connection_that_ends_badly_costs_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    near, far = socket.socketpair()
    with near, far, caplog.at_level(logging.DEBUG, "paramiko"):
        far.sendall(b"SSH-1.0-Device\r\n")
        with pytest.raises(paramiko.SSHException, match="Incompatible version"):
            Transport(near).start_client(timeout=30.0)
    assert "Traceback" not in caplog.text
