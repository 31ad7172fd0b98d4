"""One SSH connection to a jump host, which sessions share.

A session is given a socket of its own all the same, one end of a pair; a thread carries what comes between its other
end and the jump host. So whatever runs over the socket (SSH, telnet, TLS) needs to know nothing of the way, and
shutting the socket down ends a session at its deadline wherever the jump host hangs.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import Final, Literal

import paramiko

from devicevault.collector.connection import Client
from devicevault.collector.deadline import ALARMS, Limit, shut
from devicevault.collector.tcp import Target
from devicevault.errors import DeviceUnreachable
from devicevault.settings import JumpSettings

CARRY_BYTES: Final = 65536
#: Seconds a jump host that is in doubt has to answer.
DOUBT_S: Final = 5.0
#: Seconds a device may take no data before its session through a jump host is given up.
STALL_S: Final = 60.0
#: Seconds between two signs of life, so that no firewall forgets a connection that waits.
KEEPALIVE_S: Final = 30
#: Seconds a connection that breaks off may take to be known as dead.
DYING_S: Final = 0.2
#: A channel is refused by the jump host's own rules (RFC 4254, 5.1).
_PROHIBITED: Final = 1


@dataclass(frozen=True)
class Hop:
    """One jump host or proxy on the way."""

    name: str
    settings: JumpSettings
    target: Target
    group: str = ""


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
            try:
                raise self._refusal(error, target, patience_s, limit) from None
            finally:
                self._give_back()
        near, far = socket.socketpair()
        limit.guard(near)
        name = f"{self.hop.name} to {target.device}"
        threading.Thread(target=self._carry, args=(channel, far), name=name, daemon=True).start()
        return near

    def _refusal(self, error: Exception, target: Target, patience_s: float, limit: Limit) -> DeviceUnreachable:
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
        if self._answers(limit):
            return DeviceUnreachable(
                f"{target} did not answer {self.hop.target} within {patience_s:g} s",
                "check the device's address and port, and routing and firewall from the jump host",
            )
        return DeviceUnreachable(f"{self.hop.target} does not answer any more", self.FIX)

    def _answers(self, limit: Limit) -> bool:
        """Whether the jump host itself is there; where it is not, whoever else is on it need not wait any longer.

        Raises the limit's reason when that is not known in time.
        """
        answered = threading.Event()

        def ask() -> None:
            # Any answer will do; most servers know no such request and say so.
            with contextlib.suppress(Exception):
                self._transport.global_request("keepalive@openssh.com", wait=True)
                if self._transport.is_active():
                    answered.set()

        def judge() -> None:
            if not answered.is_set():
                self._is_open = False
                shut(self._sock)

        if self.is_alive:
            threading.Thread(target=ask, name=f"{self.hop.name} in doubt", daemon=True).start()
            ALARMS.set(time.monotonic() + DOUBT_S, judge)
            answered.wait(min(DOUBT_S, limit.remaining_s))
        limit.check()
        return answered.is_set()

    def _carry(self, channel: paramiko.Channel, far: socket.socket) -> None:
        """Carries bytes both ways until either side is done."""
        try:
            with contextlib.suppress(OSError, paramiko.SSHException):
                channel.settimeout(STALL_S)
                if _carry(channel, far) == "device" and not channel.eof_received:
                    # A jump host that dies takes its sessions down first: they shall find it dead already.
                    self._transport.join(DYING_S)
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
