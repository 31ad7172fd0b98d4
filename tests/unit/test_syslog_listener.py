"""Messages over real UDP and TCP sockets on loopback, bound here or handed over as systemd does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from devicevault.daemons.service import Progress
from devicevault.errors import ConfigurationError
from devicevault.syslog import listener as listener_module
from devicevault.syslog.activation import bound
from devicevault.syslog.listener import Listener
from devicevault.syslog.message import MAX_BYTES
from tests.servers import free_port, wait_until

WITHIN_S = 20


class Heard:
    """Everything that was taken, from whom."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.known = {"127.0.0.1"}

    def knows(self, address: str) -> bool:
        return address in self.known

    def take(self, address: str, data: bytes) -> None:
        self.messages.append((address, data))

    def refused(self, address: str) -> None:
        self.messages.append((address, b"refused"))

    def wait_for(self, count: int) -> list[bytes]:
        wait_until(lambda: len(self.messages) >= count, WITHIN_S, or_say=lambda: f"heard {self.messages}")
        return [data for _, data in self.messages]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def port(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where a listener listens, UDP and TCP."""
    monkeypatch.setattr(listener_module, "LOOK_UP_S", 0.02)
    port, stop = free_port(), threading.Event()
    listener = Listener(bound(f"127.0.0.1:{port}"), heard, stop=stop, progress=Progress())
    thread = threading.Thread(target=listener.run)
    thread.start()
    yield port
    stop.set()
    thread.join(WITHIN_S)
    assert not thread.is_alive()


def test_datagrams_are_messages_cut_where_they_are_too_long(heard: Heard, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b"<1>one", b"", b"x" * 20_000):
            sender.sendto(data, ("127.0.0.1", port))
    assert heard.wait_for(3) == [b"<1>one", b"", b"x" * MAX_BYTES]
    assert heard.messages[0][0] == "127.0.0.1"


def test_a_connection_brings_messages_in_either_framing_and_a_last_line_without_an_end(heard: Heard, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sender:
        sender.sendall(b"<1>one\n6 <1>two<1>th")
        sender.sendall(b"ree\n<1>four")
    assert heard.wait_for(4) == [b"<1>one", b"<1>two", b"<1>three", b"<1>four"]


def test_a_stranger_gets_no_connection(heard: Heard, port: int) -> None:
    heard.known.clear()
    with closing(socket.create_connection(("127.0.0.1", port))) as sender:
        sender.settimeout(WITHIN_S)
        assert sender.recv(1) == b""


def test_one_sender_gets_so_many_connections_and_they_are_free_again_when_closed(
    heard: Heard, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "CONNECTIONS_OF_ONE", 2)
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    held[2].settimeout(WITHIN_S)
    assert held[2].recv(1) == b""
    assert heard.wait_for(1) == [b"refused"]
    for number, connection in enumerate(held[:2]):
        connection.sendall(b"<1>%d\n" % number)
        heard.wait_for(number + 2)
    for connection in held:
        connection.close()

    def is_taken() -> bool:
        with socket.create_connection(("127.0.0.1", port)) as again:
            again.sendall(b"<1>again\n")
        return ("127.0.0.1", b"<1>again") in heard.messages

    wait_until(is_taken, WITHIN_S, or_say=lambda: f"heard {heard.messages}")


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigurationError, match="can't be listened at: Address already in use; choose another"):
            bound(f"127.0.0.1:{other.getsockname()[1]}")


#: Makes itself what systemd makes of a process, and tells what it finds then.
HANDED_OVER = """
import os, socket
from devicevault.errors import ConfigurationError
from devicevault.syslog.activation import FIRST, handed_over

def given(*kinds, listening=True, pid=os.getpid()):
    os.environ.update(LISTEN_PID=str(pid), LISTEN_FDS=str(len(kinds)))
    for number, (family, kind) in enumerate(kinds):
        one = socket.socket(family, kind)
        if kind == socket.SOCK_STREAM and listening:
            one.listen()
        descriptor = one.detach()
        if descriptor != FIRST + number:
            os.dup2(descriptor, FIRST + number)
            os.close(descriptor)
    try:
        found = handed_over()
        print([(one.fileno(), one.type.name, one.get_inheritable()) for one in found], "LISTEN_FDS" in os.environ)
        [one.detach() for one in found]
    except ConfigurationError as error:
        print(error)

udp, tcp = (socket.AF_INET6, socket.SOCK_DGRAM), (socket.AF_INET, socket.SOCK_STREAM)
given(udp, tcp)
given(udp, tcp, pid=1)
given(udp, tcp, listening=False)
given((socket.AF_UNIX, socket.SOCK_DGRAM))
"""


def test_sockets_are_taken_over_as_systemd_hands_them_over() -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("LISTEN_")}
    done = subprocess.run(
        [sys.executable, "-c", HANDED_OVER], capture_output=True, text=True, timeout=60, check=True, env=environ
    )
    both, of_another, not_listening, unix = done.stdout.splitlines()
    assert both == "[(3, 'SOCK_DGRAM', False), (4, 'SOCK_STREAM', False)] False"
    assert of_another == "[] False"
    assert not_listening.startswith("devicevault-syslog.socket: descriptor 4 is no UDP socket and no listening TCP")
    assert unix.startswith("devicevault-syslog.socket: descriptor 3 is no UDP socket")
