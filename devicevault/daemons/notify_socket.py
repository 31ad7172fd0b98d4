"""What a worker's processes tell their supervisor, in the words daemons have for systemd: sd_notify(3)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final

DATAGRAM_MAX: Final = 65536
#: ``struct ucred``: process, user, group.
_CREDENTIALS: Final = struct.Struct("3i")


class NotifySocket:
    """The socket they are told to, as long as the ``with`` block lasts."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        # Whoever is on this host can send to it: the kernel tells who did.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # An abstract address which the kernel picks: nothing is left behind in a folder.
        self._socket.bind("")
        #: What belongs in ``NOTIFY_SOCKET``.
        self.address = "@" + self._socket.getsockname()[1:].decode()

    def __enter__(self) -> NotifySocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def heard(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """What has come: the id of the process that told it, and its assignments."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(DATAGRAM_MAX, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    lines = data.decode(errors="replace").splitlines()
                    told = dict(line.split("=", 1) for line in lines if "=" in line)
                    yield _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0], told
