"""Connecting to an address or a host name."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from devicevault.collector.deadline import Limit
from devicevault.collector.tcp import Target, connect_tcp
from devicevault.errors import CollectionInterrupted, DeviceUnreachable, SessionTimeout


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A port on loopback that accepts, in either family."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        yield listener


def target(address: str, port: int = 22, connect_timeout_s: float = 5.0) -> Target:
    return Target(address, port, "cisco_ios", connect_timeout_s=connect_timeout_s)


def test_an_address_of_either_family_is_connected(listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]
    with Limit(5) as limit, connect_tcp(target(address, port), limit) as sock:
        assert sock.getpeername()[:2] == (address, port)


def test_a_name_whose_first_address_refuses_is_reached_by_the_next(listener: socket.socket) -> None:
    """Where localhost is ::1 as well as 127.0.0.1, only one of them listens here."""
    address, port = listener.getsockname()[:2]
    if address not in {found[4][0] for found in socket.getaddrinfo("localhost", port)}:
        pytest.skip(f"localhost does not mean {address} on this machine")
    with Limit(5) as limit, connect_tcp(target("localhost", port), limit) as sock:
        assert sock.getpeername()[:2] == (address, port)


def test_a_refused_connection_says_what_to_check() -> None:
    with (
        Limit(5) as limit,
        pytest.raises(DeviceUnreachable, match=r"port 1 can't be reached: Connection refused; check"),
    ):
        connect_tcp(target("127.0.0.1", 1), limit)


@pytest.mark.parametrize("name", ["no-such-host.invalid", "", "a" * 70, "not a name"])
def test_a_name_that_means_nothing_is_unreachable(name: str) -> None:
    with Limit(20) as limit, pytest.raises(DeviceUnreachable):
        connect_tcp(target(name, 1), limit)


@pytest.fixture
def hung_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver whose name server never answers; no call to it can be interrupted."""
    answered = threading.Event()
    real = socket.getaddrinfo

    def ask(*arguments: Any, **parameters: Any) -> Any:
        if not parameters.get("flags"):
            answered.wait(30)
        return real(*arguments, **parameters)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    yield
    answered.set()


@pytest.mark.usefixtures("hung_resolver")
def test_a_hung_resolver_ends_at_the_connect_timeout_or_the_deadline() -> None:
    began = time.monotonic()
    with Limit(30) as limit, pytest.raises(DeviceUnreachable, match=r"was not looked up within 0\.2 s"):
        connect_tcp(target("localhost", connect_timeout_s=0.2), limit)
    with Limit(0.2) as limit, pytest.raises(SessionTimeout, match="looking up localhost"):
        connect_tcp(target("localhost", connect_timeout_s=10), limit)
    assert time.monotonic() - began < 5


def test_a_stopping_worker_does_not_wait_for_a_dead_host() -> None:
    with socket.socket() as deaf, socket.socket() as filling, socket.socket() as more:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for client in (filling, more):
            client.setblocking(False)
            client.connect_ex(deaf.getsockname())
        with Limit(60) as limit:
            timer = threading.Timer(0.2, limit.end, [CollectionInterrupted("stopping")])
            timer.start()
            began = time.monotonic()
            with pytest.raises(CollectionInterrupted):
                connect_tcp(target("127.0.0.1", deaf.getsockname()[1], connect_timeout_s=30), limit)
            assert time.monotonic() - began < 5
