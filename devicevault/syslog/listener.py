"""Takes messages in from UDP and TCP sockets, whatever comes and however much of it."""

from __future__ import annotations

import selectors
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event
from typing import Any, Final, Protocol

from devicevault.daemons.service import Progress
from devicevault.syslog.framing import Frames
from devicevault.syslog.message import MAX_BYTES
from devicevault.syslog.senders import plain_address

#: Datagrams taken from one socket before another has its turn.
AT_ONCE: Final = 256
#: Connections at once; the unit's LimitNOFILE= is higher.
CONNECTIONS: Final = 4096
CONNECTIONS_OF_ONE: Final = 8
#: Seconds after which the loop looks whether it shall end.
LOOK_UP_S: Final = 0.5
#: Seconds of silence after which TCP asks whether the other side is still there.
KEEPALIVE_S: Final = 300


class Taker(Protocol):
    """What becomes of messages."""

    def knows(self, address: str) -> bool: ...

    def take(self, address: str, data: bytes) -> None: ...

    def refused(self, address: str) -> None: ...


class Listener:
    """Reads the sockets until ``stop`` is set.

    A connection is taken only from senders that are known, and not too many of one: others can't use them up.
    """

    def __init__(self, sockets: Sequence[socket.socket], taker: Taker, *, stop: Event, progress: Progress) -> None:
        self._taker = taker
        self._stop = stop
        self._progress = progress
        self._selector = selectors.DefaultSelector()
        self._connections: Counter[str] = Counter()
        self._sockets = sockets
        for one in sockets:
            one.setblocking(False)
            self._watch(one, self._datagrams if one.type == socket.SOCK_DGRAM else self._accept)

    @property
    def places(self) -> str:
        """Where it listens, in words."""
        return ", ".join(_place(one) for one in self._sockets)

    def run(self) -> None:
        while not self._stop.is_set():
            self._turn(LOOK_UP_S)
            self._progress.made()
        # What has arrived by now is heard still.
        self._turn(0)
        for key in list(self._selector.get_map().values()):
            self._forget(key.fileobj)

    def _turn(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            read: Callable[[socket.socket], None] = key.data
            readable: Any = key.fileobj
            read(readable)

    def _watch(self, one: socket.socket, read: Callable[[socket.socket], None]) -> None:
        self._selector.register(one, selectors.EVENT_READ, read)

    def _forget(self, one: Any) -> None:
        self._selector.unregister(one)
        one.close()

    def _datagrams(self, one: socket.socket) -> None:
        with suppress(OSError):
            for _ in range(AT_ONCE):
                # What is longer is cut: the rest of a datagram is thrown away.
                data, peer = one.recvfrom(MAX_BYTES)
                self._taker.take(plain_address(peer[0]), data)

    def _accept(self, one: socket.socket) -> None:
        try:
            connection, peer = one.accept()
        except OSError:
            # Gone again, or no descriptor left: then the loop must not spin.
            self._stop.wait(0.05)
            return
        address = plain_address(peer[0])
        if not self._taker.knows(address):
            self._taker.take(address, b"")
            connection.close()
        elif self._connections[address] >= CONNECTIONS_OF_ONE or len(self._selector.get_map()) >= CONNECTIONS:
            self._taker.refused(address)
            connection.close()
        else:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
            self._connections[address] += 1
            frames = Frames()
            self._watch(connection, lambda readable: self._read(readable, address, frames))

    def _read(self, connection: socket.socket, address: str, frames: Frames) -> None:
        try:
            data = connection.recv(MAX_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        # A last line that its sender did not end is one all the same.
        for message in frames.feed(data or b"\n"):
            self._taker.take(address, message)
        if not data:
            self._forget(connection)
            self._connections[address] -= 1
            if not self._connections[address]:
                del self._connections[address]


def _place(one: socket.socket) -> str:
    host, port = one.getsockname()[:2]
    kind = "udp" if one.type == socket.SOCK_DGRAM else "tcp"
    return f"{kind} [{host}]:{port}" if one.family == socket.AF_INET6 else f"{kind} {host}:{port}"
