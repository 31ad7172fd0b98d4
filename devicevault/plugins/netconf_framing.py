"""NETCONF messages on a byte stream (RFC 6242): ended by a mark until both sides know better, then in chunks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from devicevault.errors import DeviceUnreachable, OutputTruncated

END: Final = b"]]>]]>"
END_OF_CHUNKS: Final = b"\n##\n"
_CHUNK: Final = re.compile(rb"\n#([1-9]\d{0,9})\n")
#: Longest head of a chunk: its sign, ten digits and two line ends.
_HEAD_MAX: Final = 13


class Messages:
    """Takes whole messages off a stream. ``receive`` gives what comes next, nothing at its end."""

    def __init__(self, receive: Callable[[], bytes], check_size: Callable[[int], None]) -> None:
        self._receive = receive
        self._check_size = check_size
        self._buffer = bytearray()
        #: Whether messages come in chunks: from the hello on, where both sides speak ``base:1.1``.
        self.chunked = False

    def framed(self, message: bytes) -> bytes:
        """The message as it is sent."""
        return b"\n#%d\n%s%s" % (len(message), message, END_OF_CHUNKS) if self.chunked else message + END

    def next(self) -> bytes:
        """The next whole message. Raises :class:`OutputTruncated` where the stream ends within it."""
        return self._chunks() if self.chunked else self._marked()

    def _marked(self) -> bytes:
        searched = 0
        while (end := self._buffer.find(END, searched)) < 0:
            searched = max(0, len(self._buffer) - len(END) + 1)
            self._more()
        return self._take(end + len(END))[:end]

    def _chunks(self) -> bytes:
        message = bytearray()
        while True:
            while len(self._buffer) < len(END_OF_CHUNKS):
                self._more()
            if self._buffer.startswith(END_OF_CHUNKS):
                self._take(len(END_OF_CHUNKS))
                return bytes(message)
            message += self._chunk()
            self._check_size(len(message))

    def _chunk(self) -> bytes:
        while not (head := _CHUNK.match(self._buffer)):
            if len(self._buffer) >= _HEAD_MAX or not re.match(rb"\n#\d*\Z", self._buffer):
                raise DeviceUnreachable("the device's NETCONF messages are not in chunks as they should be (RFC 6242)")
            self._more()
        size = int(head[1])
        self._check_size(size)
        self._take(head.end())
        while len(self._buffer) < size:
            self._more()
        return self._take(size)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _more(self) -> None:
        piece = self._receive()
        if not piece:
            raise OutputTruncated("the device closed NETCONF in the middle of a message", "try again")
        self._buffer += piece
        self._check_size(len(self._buffer))
