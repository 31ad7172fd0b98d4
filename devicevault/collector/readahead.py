"""A socket that is read in large pieces.

paramiko reads each packet of SSH in three: its length, its content, its digest. Each is a call of the kernel, or two
where the socket has a timeout, for which a thread gives the interpreter's lock away and waits to get it back; routers
send packets of a few hundred bytes, and so thousands of them for one configuration.
"""

from __future__ import annotations

import socket
from typing import Any, Final

AT_ONCE: Final = 16384


class ReadAhead:
    """Whatever the socket is, with what it received kept until it is asked for. To be read by one thread only."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        """As the socket's own: at most ``size`` bytes, none at the end; raises what it raises."""
        if self._at == len(self._received):
            self._received, self._at = self._sock.recv(max(size, AT_ONCE)), 0
        start, self._at = self._at, min(self._at + size, len(self._received))
        received = self._received[start : self._at]
        if self._at == len(self._received):
            self._received, self._at = b"", 0
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
