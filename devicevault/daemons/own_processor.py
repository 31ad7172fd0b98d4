"""A processor of its own for a worker's process.

Of a process' threads one computes at a time: whoever has the interpreter's lock. On two processors, a thread that gives
it away for a call of the kernel has lost it to one on the other before the call is over, and goes to sleep. On one, it
loses the lock only where it has something to wait for. docs/performance.md tells what that saves.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

logger = logging.getLogger(__name__)

#: Seconds between two looks where there is room: workers in other containers of this host keep to processors unseen.
LOOK_S: Final = 10.0
#: Seconds a thread sleeps to be woken up where there is room.
_NAP_S: Final = 0.001
#: The processor's number follows. The kernel forgets an abstract address with the last process that has it.
_ADDRESS: Final = "\0devicevault-worker/processor/"
_THREADS: Final = Path("/proc/self/task")
_LIBC: Final = ctypes.CDLL(None)


class OwnProcessor:
    """While the ``with`` block lasts, the process' threads keep to one processor, no other worker's to the same one.

    Where there is only one, where each has its process already, or where that is forbidden, they run wherever there is
    room. For the main thread of a process that has no other yet.
    """

    def __init__(self) -> None:
        #: ``None`` while the process keeps to none.
        self.number: int | None = None
        self._allowed = os.sched_getaffinity(0)
        self._claim: socket.socket | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="processor", daemon=True)

    def __enter__(self) -> OwnProcessor:
        if len(self._allowed) > 1:
            try:
                self.look()
                logger.info("This process keeps to %s", "no processor" if self.number is None else "one processor")
                self._thread.start()
            except OSError as error:
                logger.info("This process keeps to no processor: %s", error.strerror)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._claim is not None:
            os.sched_setaffinity(0, self._allowed)
            self._claim.close()

    def look(self) -> None:
        """Move to where there is room at this moment, unless another worker's process keeps to that."""
        os.sched_setaffinity(0, self._allowed)
        time.sleep(_NAP_S)
        here = _processor()
        # To keep to a busy one is better than to none: whoever does not keep to it goes elsewhere.
        wanted = [here] if self.number is not None else [here, *sorted(self._allowed - {here})]
        for number in wanted:
            if number != self.number and (claim := _claimed(number)) is not None:
                if self._claim is not None:
                    self._claim.close()
                self.number, self._claim = number, claim
                break
        if self.number is not None:
            _move_threads(self.number)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
            except OSError as error:
                logger.debug("processor: %s", error)


def _processor() -> int:
    """The one this thread runs on."""
    return int(_LIBC.sched_getcpu())


def _claimed(number: int) -> socket.socket | None:
    """What holds the claim until it is closed; ``None`` where another process has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        claim.bind(f"{_ADDRESS}{number}")
    except OSError:
        claim.close()
        return None
    return claim


def _move_threads(number: int) -> None:
    """All of them; who is started meanwhile by one that was not moved yet is found by looking again."""
    moved: set[int] = set()
    while left := {int(thread.name) for thread in _THREADS.iterdir()} - moved:
        for thread in left:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, {number})
        moved |= left
