"""What systemd would hear from a daemon: its notify socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Listener:
    """The socket, and every datagram heard so far."""

    path: Path
    channel: socket.socket
    heard: list[str] = field(default_factory=list)

    def next(self, within_s: float = 30) -> str:
        """The next datagram."""
        self.channel.settimeout(within_s)
        self.heard.append(self.channel.recv(4096).decode())
        return self.heard[-1]

    def wait_for(self, part: str, within_s: float = 30) -> str:
        """The next datagram with ``part`` in it."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                told = self.next(max(0.01, deadline - time.monotonic()))
            except TimeoutError:
                break
            if part in told:
                return told
        raise AssertionError(f"nothing about {part!r} within {within_s} s; heard: {self.heard[-20:]}")

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nothing at all comes for so long; what had come before is passed over."""
        self.channel.setblocking(False)
        try:
            while True:
                self.channel.recv(4096)
        except BlockingIOError:
            pass
        self.channel.settimeout(seconds)
        try:
            self.channel.recv(4096)
        except TimeoutError:
            return True
        return False


@contextmanager
def systemd(folder: Path) -> Iterator[Listener]:
    """A socket to name in ``NOTIFY_SOCKET``."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        yield Listener(path, channel)
    path.unlink()
