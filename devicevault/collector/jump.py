"""Ways to devices: straight, or through jump hosts and proxies, whose SSH connections the sessions share."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from devicevault.collector import ssh
from devicevault.collector.deadline import Limit
from devicevault.collector.jump_host import Hop, JumpHost
from devicevault.collector.keyring import Keyring
from devicevault.collector.proxy import Proxy
from devicevault.collector.tcp import Target, connect_tcp
from devicevault.errors import CollectionError, DeviceUnreachable

#: Seconds between two looks of a session that waits for its turn.
LOOK_S: Final = 0.2


class JumpHosts:
    """The connections of this process to jump hosts, shared by its sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[tuple[Hop, ...], _Line] = {}

    def connect(self, way: Sequence[Hop], target: Target, limit: Limit, keyring: Keyring) -> Passage:
        """A socket that leads through the hops, in order, to the target; guarded by ``limit``.

        Raises a :class:`CollectionError` that names the hop at which it failed.
        """
        if not way:
            return _straight(target, limit)
        *before, hop = way
        if hop.settings.kind == "ssh":
            return self._through(tuple(way), target, limit, keyring)
        passage = self.connect(before, hop.target, limit, keyring)
        try:
            credential = keyring.get(hop.settings.credential, passage.address) if hop.settings.credential else None
            with keyring.offered(credential):
                Proxy(passage.sock, hop.target, credential, limit).ask(hop.settings.kind, target)
        except BaseException:
            passage.sock.close()
            raise
        return Passage(passage.sock, target.address, passage.hosts)

    def _through(self, way: tuple[Hop, ...], target: Target, limit: Limit, keyring: Keyring) -> Passage:
        with self._lock:
            line = self._lines.setdefault(way, _Line(way[-1]))

        def connect() -> JumpHost:
            passage = self.connect(way[:-1], way[-1].target, limit, keyring)
            return log_in(way[-1], passage, limit, keyring)

        host = line.host(connect, limit)
        return Passage(host.open(target, limit), target.address, (*host.before, host))


@dataclass(frozen=True)
class Passage:
    """A connected socket, and what lies on its way."""

    sock: socket.socket
    #: The other end as far as it is known here: behind a hop, what the hop was asked for.
    address: str
    hosts: tuple[JumpHost, ...] = ()

    def blamed(self, error: DeviceUnreachable) -> DeviceUnreachable:
        """The error, or the breakdown of the first jump host on the way that explains it."""
        broken = next((host for host in self.hosts if not host.is_alive), None)
        if broken is None:
            return error
        return DeviceUnreachable(f"the connection to {broken.hop.target} broke off ({error.problem})", broken.FIX)


def _straight(target: Target, limit: Limit) -> Passage:
    sock = connect_tcp(target, limit)
    try:
        return Passage(sock, sock.getpeername()[0])
    except OSError as error:
        sock.close()
        limit.check()
        raise DeviceUnreachable(f"{target} hung up at once: {error.strerror}") from None


def log_in(hop: Hop, passage: Passage, limit: Limit, keyring: Keyring) -> JumpHost:
    """A connection to the jump host over this passage. Raises a :class:`CollectionError` that names it."""
    try:
        credential = keyring.get(hop.settings.credential, passage.address)
        with keyring.offered(credential):
            client = ssh.open_client(passage.sock, hop.target, credential, limit)
    except BaseException:
        passage.sock.close()
        raise
    limit.let_go()
    return JumpHost(hop, client, passage.sock, passage.hosts)


@dataclass
class _Line:
    """The connections to one jump host by one way; one at a time is opened."""

    hop: Hop
    _hosts: list[JumpHost] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _failure: CollectionError | None = None
    _failed_at: float = 0.0

    def host(self, connect: Callable[[], JumpHost], limit: Limit) -> JumpHost:
        """A connection with room for one more session, which is counted; made by ``connect`` where there is none."""
        came_at = time.monotonic()
        limit.step = f"waiting for a connection to {self.hop.target}"
        while not self._turn.acquire(timeout=LOOK_S):
            limit.check()
        try:
            self._hosts = [host for host in self._hosts if host.is_alive]
            host = next((host for host in self._hosts if host.take()), None)
            if host is None:
                self._share_failure(came_at)
                host = self._made(connect, limit)
                self._hosts.append(host)
            return host
        finally:
            self._turn.release()

    def _share_failure(self, came_at: float) -> None:
        """Whoever waited while a connection failed fails alike: a wrong password is sent once, not by all in turn."""
        if self._failure is not None and self._failed_at > came_at:
            raise type(self._failure)(self._failure.problem, self._failure.fix)

    def _made(self, connect: Callable[[], JumpHost], limit: Limit) -> JumpHost:
        try:
            return connect()
        except CollectionError as error:
            # A deadline is the session's own affair.
            if error is not limit.reason:
                self._failure, self._failed_at = error, time.monotonic()
            raise
