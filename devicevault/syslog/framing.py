"""Messages in a TCP connection: RFC 6587, counted in octets or each ended by a line feed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from devicevault.syslog.message import MAX_BYTES

#: How a frame begins that tells its length. ``<`` begins one that does not.
_COUNTED: Final = re.compile(rb"([1-9]\d{0,8}) ")
_MAY_BE_COUNTED: Final = re.compile(rb"[1-9]\d{0,8}")
#: What ends a frame that is not counted; some senders end it with NUL.
_ENDS: Final = re.compile(rb"[\n\0]")


class Frames:
    """Takes a connection's bytes as they come and gives the messages in them, each cut at :data:`MAX_BYTES`.

    It holds no more than one message's worth of bytes, however long a frame claims to be.
    """

    def __init__(self) -> None:
        self._held = b""
        #: Bytes of the counted frame in hand that are yet to come; ``None`` in a frame that ends with a line.
        self._left: int | None = None
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete with these bytes. All of them must be taken."""
        while data:
            if not self._is_begun:
                data = self._begin(data)
                continue
            data, is_whole = self._counted(data) if self._left is not None else self._to_line_end(data)
            if is_whole:
                message, self._held = self._held, b""
                self._is_begun, self._left = False, None
                if message.strip():
                    yield message

    def _begin(self, data: bytes) -> bytes:
        """Look how a frame is framed; what is left when that is told, nothing while it is not."""
        data, self._held = self._held + data, b""
        if head := _COUNTED.match(data):
            self._left = int(head[1])
            self._is_begun = True
            return data[head.end() :]
        if _MAY_BE_COUNTED.fullmatch(data):
            self._held = data
            return b""
        self._is_begun = True
        return data

    def _counted(self, data: bytes) -> tuple[bytes, bool]:
        taken, rest = data[: self._left], data[self._left :]
        self._left = (self._left or 0) - len(taken)
        self._hold(taken)
        return rest, self._left == 0

    def _to_line_end(self, data: bytes) -> tuple[bytes, bool]:
        end = _ENDS.search(data)
        self._hold(data[: end.start()] if end else data)
        return (data[end.end() :], True) if end else (b"", False)

    def _hold(self, data: bytes) -> None:
        self._held += data[: MAX_BYTES - len(self._held)]
