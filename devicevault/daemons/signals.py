"""Signals for a loop that waits for several things at once."""

from __future__ import annotations

import signal
import socket
from types import FrameType, TracebackType


class Signals:
    """Those of ``numbers`` that come as long as the ``with`` block lasts. For the main thread only."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def __enter__(self) -> Signals:
        self._wakeup_before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _come) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        """For a selector."""
        return self._read.fileno()

    def came(self) -> list[signal.Signals]:
        """What has come since the last time, in its order; python writes the number of each into the socket."""
        try:
            return [signal.Signals(number) for number in self._read.recv(4096)]
        except BlockingIOError:
            return []


def _come(number: int, frame: FrameType | None) -> None:
    """A handler, so that python neither ignores the signal nor ends."""
