"""Ways to devices: straight, or through jump hosts and proxies, whose SSH connections the sessions share.

A session behind a jump host is given a socket of its own all the same, one end of a pair; a thread carries what comes
between its other end and the jump host. So whatever runs over the socket (SSH, telnet, TLS) needs to know nothing of
the way, and shutting the socket down ends a session at its deadline wherever the jump host hangs.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import paramiko

from devicevault.collector import ssh
from devicevault.collector.connection import Client
from devicevault.collector.deadline import ALARMS, Limit, shut
from devicevault.collector.keyring import Keyring
from devicevault.collector.proxy import Proxy
from devicevault.collector.tcp import Target, connect_tcp
from devicevault.errors import CollectionError, DeviceUnreachable
from devicevault.settings import JumpSettings

CARRY_BYTES: Final = 65536
#: Seconds between two looks of a session that waits for its turn.
LOOK_S: Final = 0.2
#: Seconds a jump host that is in doubt has to answer.
DOUBT_S: Final = 5.0
#: Seconds a device may take no data before its session through a jump host is given up.
STALL_S: Final = 60.0
#: Seconds between two signs of life, so that no firewall forgets a connection that waits.
KEEPALIVE_S: Final = 30
_PROHIBITED: Final = 1


@dataclass(frozen=True)
class Hop:
    """One jump host or proxy on the way."""

    name: str
    settings: JumpSettings
    target: Target
    group: str = ""


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
            return Passage(connect_tcp(target, limit))
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
    #: The other end as far as it is known here.
    address: str = ""
    hosts: tuple[JumpHost, ...] = ()

    def __post_init__(self) -> None:
        if not self.address:
            object.__setattr__(self, "address", self.sock.getpeername()[0])

    def blamed(self, error: DeviceUnreachable) -> DeviceUnreachable:
        """The error, or the breakdown of the first jump host on the way that explains it."""
        broken = next((host for host in self.hosts if not host.is_alive), None)
        if broken is None:
            return error
        return DeviceUnreachable(f"the connection to {broken.hop.target} broke off ({error.problem})", broken.FIX)


class JumpHost:
    """One SSH connection to a jump host, and how many sessions are on it."""

    FIX: Final = "see whether the jump host was restarted or its own connection limits were met"

    def __init__(self, hop: Hop, client: Client, sock: socket.socket, before: tuple[JumpHost, ...]) -> None:
        self.hop = hop
        self.before = before
        self._client = client
        self._transport: paramiko.Transport = client.get_transport()
        self._transport.set_keepalive(KEEPALIVE_S)
        self._sock = sock
        self._lock = threading.Lock()
        # The session that made it.
        self._sessions = 1
        self._is_open = True
        self._alarm = -1

    @property
    def is_alive(self) -> bool:
        alive: bool = self._is_open and self._transport.is_active()
        return alive

    def take(self) -> bool:
        """Counts one more session, if there is room for it."""
        with self._lock:
            if not self.is_alive or self._sessions >= self.hop.settings.sessions:
                return False
            self._sessions += 1
            ALARMS.cancel(self._alarm)
            return True

    def open(self, target: Target, limit: Limit) -> socket.socket:
        """A socket that leads from the jump host to the target, for a session that :meth:`take` counted."""
        limit.step = f"connecting to {target} through {self.hop.target}"
        patience_s = max(0.1, min(target.connect_timeout_s, limit.remaining_s))
        try:
            channel = self._transport.open_channel(
                "direct-tcpip", (target.address, target.port), ("127.0.0.1", 0), timeout=patience_s
            )
        except Exception as error:  # noqa: BLE001 (raised anew in words; paramiko raises nearly anything)
            problem = self._refusal(error, target, patience_s)
            self._give_back()
            limit.check()
            raise problem from None
        near, far = socket.socketpair()
        limit.guard(near)
        name = f"{self.hop.name} to {target.device}"
        threading.Thread(target=self._carry, args=(channel, far), name=name, daemon=True).start()
        return near

    def _refusal(self, error: Exception, target: Target, patience_s: float) -> DeviceUnreachable:
        if isinstance(error, paramiko.ChannelException):
            if error.code == _PROHIBITED:
                return DeviceUnreachable(
                    f"{self.hop.target} does not allow a connection to {target}",
                    "allow it there (AllowTcpForwarding and PermitOpen in OpenSSH's sshd_config)",
                )
            return DeviceUnreachable(
                f"{self.hop.target} could not connect to {target}: {error.text}",
                "check the device's address and port, and routing and firewall from the jump host",
            )
        if self._transport.is_active() and self._answers():
            return DeviceUnreachable(
                f"{target} did not answer {self.hop.target} within {patience_s:g} s",
                "check the device's address and port, and routing and firewall from the jump host",
            )
        # Whoever else is on it waits for nothing.
        self._is_open = False
        shut(self._sock)
        return DeviceUnreachable(f"{self.hop.target} does not answer any more", self.FIX)

    def _answers(self) -> bool:
        """Whether the jump host itself is there."""
        answered = threading.Event()

        def ask() -> None:
            # Any answer will do; most servers know no such request and say so.
            with contextlib.suppress(Exception):
                self._transport.global_request("keepalive@openssh.com", wait=True)
                if self._transport.is_active():
                    answered.set()

        threading.Thread(target=ask, name=f"{self.hop.name} in doubt", daemon=True).start()
        return answered.wait(DOUBT_S)

    def _carry(self, channel: paramiko.Channel, far: socket.socket) -> None:
        """Carries bytes both ways until either side is done."""
        try:
            with contextlib.suppress(OSError, paramiko.SSHException):
                channel.settimeout(STALL_S)
                if _carry(channel, far) == "device" and not channel.eof_received:
                    # A jump host that dies takes its sessions down first: they shall find it dead already.
                    self._transport.join(LOOK_S)
        finally:
            far.close()
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()
            self._give_back()

    def _give_back(self) -> None:
        with self._lock:
            self._sessions -= 1
            if not self._sessions:
                self._alarm = ALARMS.set(time.monotonic() + self.hop.settings.idle_s, self._end_when_idle)

    def _end_when_idle(self) -> None:
        with self._lock:
            if not self._sessions:
                self._is_open = False
                shut(self._sock)


def log_in(hop: Hop, passage: Passage, limit: Limit, keyring: Keyring) -> JumpHost:
    """A connection to the jump host over this passage. Raises a :class:`CollectionError` that names it."""
    try:
        credential = keyring.get(hop.settings.credential, passage.address)
        with keyring.offered(credential):
            client = ssh.open_client(passage.sock, hop.target, credential, limit)
    except BaseException:
        passage.sock.close()
        raise
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


def _carry(channel: paramiko.Channel, far: socket.socket) -> Literal["device", "session"]:
    """Carries bytes both ways; returns which side ended it."""
    ready = select.poll()
    device, session = channel.fileno(), far.fileno()
    ready.register(device, select.POLLIN)
    ready.register(session, select.POLLIN)
    while True:
        told = {number for number, _ in ready.poll()}
        if device in told:
            if not (data := channel.recv(CARRY_BYTES)):
                return "device"
            far.sendall(data)
        if session in told:
            if not (data := far.recv(CARRY_BYTES)):
                return "session"
            channel.sendall(data)
