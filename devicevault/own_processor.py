"""A processor of its own for a worker's process.

Of a process' threads one computes at a time: whoever has the interpreter's lock. On two processors, a thread that gives
it away for a call of the kernel has lost it to one on the other before the call is over, and goes to sleep. On one, it
loses the lock only where it has something to wait for. docs/performance.md tells what that saves.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

logger = logging.getLogger(__name__)

#: Whose lock is the claim to a processor: there on every Linux, the same for all users and networks of a host.
_FOLDERS: Final = Path("/sys/devices/system/cpu")
#: What systemd, Docker and Podman leave in a container.
_CONTAINER_MARKS: Final = (Path("/run/systemd/container"), Path("/.dockerenv"), Path("/run/.containerenv"))
_LIBC: Final = ctypes.CDLL(None)
#: Where this process ran before it kept to one; empty while it does not.
_before: set[int] = set()


@contextmanager
def own_processor(wanted: Literal["auto", "always", "never"]) -> Iterator[int | None]:
    """While the block lasts, this thread and those it starts keep to one processor, no other worker's to the same one.

    Its number; ``None`` where there is only one, where each has its process already, or where it is forbidden: then
    they run wherever there is room. ``auto`` is ``never`` in a container, which does not see the claims of others on
    its host. For the main thread of a process that has no other yet.
    """
    allowed = os.sched_getaffinity(0)
    is_wanted = wanted == "always" or (wanted == "auto" and not any(mark.exists() for mark in _CONTAINER_MARKS))
    kept = _kept_to(allowed) if is_wanted and len(allowed) > 1 else None
    if kept is None:
        yield None
        return
    number, claim = kept
    logger.info("This process keeps to processor %d", number)
    _before.update(allowed)
    try:
        yield number
    finally:
        _before.clear()
        with suppress(OSError):
            os.sched_setaffinity(0, allowed)
        os.close(claim)


def run_anywhere(pid: int) -> None:
    """Let a program that was started run wherever there is room, as this process could."""
    if _before:
        # It may have ended, and the processors may be others by now.
        with suppress(OSError):
            os.sched_setaffinity(pid, _before)


def _kept_to(allowed: set[int]) -> tuple[int, int] | None:
    """The processor, and what holds the claim to it until it is closed."""
    # Where the kernel put us there was room; whoever keeps to none goes elsewhere.
    here = _LIBC.sched_getcpu()
    reason: str | None = "each is another worker's"
    try:
        for number in sorted(allowed, key=lambda number: (number != here, number)):
            claim = _claimed(number)
            if claim is not None:
                return number, claim
    except OSError as error:
        reason = error.strerror
    logger.info("This process keeps to no processor: %s", reason)
    return None


def _claimed(number: int) -> int | None:
    """A locked file of the processor that this thread keeps to now; ``None`` where another process has the lock.

    Raises :class:`OSError` where it can't be locked or kept to.
    """
    claim = os.open(_FOLDERS / f"cpu{number}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.sched_setaffinity(0, {number})
    except BlockingIOError:
        os.close(claim)
        return None
    except OSError:
        os.close(claim)
        raise
    return claim
