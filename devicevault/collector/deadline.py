"""What ends a session from outside: its deadline, or the worker stopping.

A hung device holds a thread in a system call or in paramiko, where no exception can reach it. So each
session's socket is known here, and is shut down when its time is over; whatever exception that causes, the
reason given here outranks it. One thread with a heap watches every session of the process.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from devicevault.errors import DeviceVaultError, SessionTimeout

logger = logging.getLogger(__name__)


class Alarms:
    """Calls back at given times (``time.monotonic``), from one thread which starts at the first use."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int]] = []
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def set(self, when: float, callback: Callable[[], None]) -> int:
        """Calls ``callback`` once at ``when``; it must not block. Returns a number for :meth:`cancel`."""
        with self._changed:
            # A forked child inherits the object without its thread: hence is_alive, not just "is there one".
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            number = next(self._numbers)
            self._callbacks[number] = callback
            heapq.heappush(self._heap, (when, number))
            if self._heap[0][1] == number:
                self._changed.notify()
            return number

    def cancel(self, number: int) -> None:
        """Forgets an alarm; one that has gone off is no matter."""
        with self._changed:
            self._callbacks.pop(number, None)
            while self._heap and self._heap[0][1] not in self._callbacks:
                heapq.heappop(self._heap)

    def __len__(self) -> int:
        """How many alarms are set."""
        return len(self._callbacks)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    self._changed.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
                callback = self._callbacks.pop(heapq.heappop(self._heap)[1], None)
            if callback is not None:
                try:
                    callback()
                except Exception:
                    logger.exception("A session's deadline could not be enforced")


ALARMS = Alarms()
_running: set[Limit] = set()
_running_lock = threading.Lock()


class Limit:
    """The time limit of one collection, entered as a context around everything that may hang.

    ``step`` says in words what is being done, for the sentence an operator reads when it hung there.
    """

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.step = "starting"
        self._ends_at = time.monotonic() + deadline_s
        self._lock = threading.Lock()
        self._reason: DeviceVaultError | None = None
        self._socket: socket.socket | None = None
        self._alarm = -1

    def __enter__(self) -> Limit:
        self._alarm = ALARMS.set(self._ends_at, self._expire)
        with _running_lock:
            _running.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ALARMS.cancel(self._alarm)
        with _running_lock:
            _running.discard(self)
        self._socket = None

    @property
    def remaining_s(self) -> float:
        """Seconds left; 0 when the deadline passed."""
        return max(0.0, self._ends_at - time.monotonic())

    @property
    def reason(self) -> DeviceVaultError | None:
        """Why the session was ended, or None while it may go on."""
        return self._reason

    def guard(self, sock: socket.socket) -> None:
        """From now on ``sock`` is what is shut down when the session ends from outside."""
        with self._lock:
            self._socket = sock
            if self._reason is not None:
                shut(sock)

    def let_go(self) -> None:
        """From now on no socket is shut down: the last one serves others too."""
        with self._lock:
            self._socket = None

    def end(self, reason: DeviceVaultError) -> None:
        """Ends the session for this reason; the first reason stands."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
            if self._socket is not None:
                shut(self._socket)

    def check(self) -> None:
        """Raises the reason if the session was ended, :class:`SessionTimeout` if the deadline passed."""
        if self._reason is None and self.remaining_s <= 0:
            self._expire()
        if self._reason is not None:
            raise self._reason

    def _expire(self) -> None:
        self.end(
            SessionTimeout(
                f"the session's {self.deadline_s:g} s were over while {self.step}",
                "see whether the device is overloaded or hangs, or raise ssh.deadline_s for it or its group",
            )
        )


def interrupt_all(reason: DeviceVaultError) -> int:
    """Ends every running session of this process for this reason; returns how many there were."""
    with _running_lock:
        limits = list(_running)
    for limit in limits:
        limit.end(reason)
    return len(limits)


def shut(sock: socket.socket) -> None:
    """Wakes up whoever waits for the socket, and ends what runs over it."""
    # Not connected, or closed meanwhile by its owner: nothing is left to wake up.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
