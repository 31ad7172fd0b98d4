"""A command line over telnet (RFC 854), or over a bare TCP connection to a console server's port.

Nothing is encrypted and nobody is known for sure: for devices that speak nothing better.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final

from devicevault.collector.deadline import Limit
from devicevault.errors import DeviceUnreachable

RECEIVE_BYTES: Final = 65536

# Commands, RFC 854.
_SE, _SB, _WILL, _WONT, _DO, _DONT, _IAC = 240, 250, 251, 252, 253, 254, 255
# Options: RFC 857, 858, 1073.
_ECHO, _SUPPRESS_GO_AHEAD, _WINDOW_SIZE = 1, 3, 31

#: What the other side may do, and what this one does when asked.
_WELCOME: Final = frozenset({_ECHO, _SUPPRESS_GO_AHEAD})
_OFFERED: Final = frozenset({_SUPPRESS_GO_AHEAD, _WINDOW_SIZE})
#: Columns and rows, so many that no line is folded; of two bytes each, none of which is IAC.
_WINDOW: Final = (500).to_bytes(2, "big") + (1000).to_bytes(2, "big")


class TelnetLine:
    """A line on a connected socket, which ``limit`` must guard."""

    RETURN = "\r"
    banner = ""

    def __init__(self, sock: socket.socket, limit: Limit) -> None:
        self.limit = limit
        self._sock = sock
        self._stream = TelnetStream()

    def receive(self, wait_s: float) -> str:
        """As :meth:`Line.receive <devicevault.collector.line.Line.receive>`."""
        self.limit.check()
        self._sock.settimeout(max(0.001, min(wait_s, self.limit.remaining_s)))
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except TimeoutError:
            self.limit.check()
            return ""
        except OSError as error:
            raise self._broken(error) from None
        if not data:
            self.limit.check()
            raise DeviceUnreachable(f"the device closed the connection while {self.limit.step}")
        text = self._stream.feed(data)
        if answers := self._stream.answers():
            self._write(answers)
        return text.decode("latin-1")

    def send(self, text: str) -> None:
        """Types ``text``; each line end is sent as the Enter key."""
        self.limit.check()
        self._write(self._stream.typed(text.replace("\r\n", "\r").replace("\n", "\r")))

    def disconnect(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _write(self, data: bytes) -> None:
        try:
            self._sock.settimeout(max(0.001, self.limit.remaining_s))
            self._sock.sendall(data)
        except OSError as error:
            raise self._broken(error) from None

    def _broken(self, error: OSError) -> DeviceUnreachable:
        self.limit.check()
        return DeviceUnreachable(f"the connection broke off while {self.limit.step}: {error.strerror or error}")


class TelnetStream:
    """Takes the commands out of what comes, however it is cut into packets, and answers them."""

    def __init__(self) -> None:
        self._unread = b""
        self._answers = bytearray()
        self._agreed: dict[tuple[int, int], int] = {}
        #: Whether the other side speaks telnet at all: a bare TCP port does not.
        self.is_telnet = False

    def feed(self, data: bytes) -> bytes:
        """The text in ``data``."""
        data = self._unread + data
        text = bytearray()
        at = 0
        while (command := data.find(_IAC, at)) >= 0:
            text += data[at:command]
            size = self._command(data[command:], text)
            if not size:
                break
            at = command + size
        else:
            text += data[at:]
            command = len(data)
        self._unread = data[command:] if len(data) - command < RECEIVE_BYTES else b""
        return bytes(text)

    def answers(self) -> bytes:
        """What is to be sent back; each answer is given once."""
        answers = bytes(self._answers)
        self._answers.clear()
        return answers

    def typed(self, text: str) -> bytes:
        """``text`` as it is sent: Enter is CR NUL in telnet, and a bare CR on a line without."""
        data = text.encode()
        if not self.is_telnet:
            return data
        return data.replace(b"\xff", b"\xff\xff").replace(b"\r", b"\r\0")

    def _command(self, data: bytes, text: bytearray) -> int:
        """Takes the command ``data`` begins with; returns its size, and 0 while it is not whole."""
        kind = data[1] if len(data) > 1 else None
        if kind is None:
            return 0
        if kind == _IAC:
            text.append(_IAC)
            return 2
        if kind == _SB:
            # What the other side tells of an option is of no interest.
            return data.find(bytes((_IAC, _SE))) + 2 if bytes((_IAC, _SE)) in data else 0
        if kind not in (_WILL, _WONT, _DO, _DONT):
            return 2
        if len(data) < 3:
            return 0
        self.is_telnet = True
        self._negotiate(kind, data[2])
        return 3

    def _negotiate(self, asked: int, option: int) -> None:
        theirs = asked in (_WILL, _WONT)
        allowed = option in (_WELCOME if theirs else _OFFERED)
        yes, no = (_DO, _DONT) if theirs else (_WILL, _WONT)
        answer = yes if allowed and asked in (_WILL, _DO) else no
        # A state that is so already is not answered: two sides that confirm each other never end.
        if self._agreed.get((theirs, option), no) == answer and asked in (_WONT, _DONT):
            return
        if self._agreed.get((theirs, option)) == answer:
            return
        self._agreed[theirs, option] = answer
        self._answers += bytes((_IAC, answer, option))
        if (answer, option) == (_WILL, _WINDOW_SIZE):
            self._answers += bytes((_IAC, _SB, _WINDOW_SIZE)) + _WINDOW + bytes((_IAC, _SE))
