"""A processor of its own for a worker's process.

Of a process' threads one computes at a time: whoever has the interpreter's lock. On two processors, a thread that gives
it away for a call of the kernel has lost it to one on the other before the call is over, and goes to sleep. On one, it
loses the lock only where it has something to wait for. docs/performance.md tells what that saves.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

logger = logging.getLogger(__name__)

#: The processor's number follows. The kernel forgets an abstract address with the last process that has it.
_ADDRESS: Final = "\0devicevault-worker/processor/"


@contextmanager
def own_processor() -> Iterator[int | None]:
    """While the block lasts, this thread and those it starts keep to one processor, no other worker's to the same one.

    Its number; ``None`` where there is only one, where each has its process already, or where that is forbidden: then
    they run wherever there is room. For the main thread of a process that has no other yet.
    """
    allowed = os.sched_getaffinity(0)
    # The kernel's own work is mostly done on the first ones.
    for number in sorted(allowed, reverse=True) if len(allowed) > 1 else ():
        claim = _claimed(number)
        if claim is None:
            continue
        with claim:
            try:
                os.sched_setaffinity(0, {number})
            except OSError as error:
                logger.info("This process keeps to no processor: %s", error.strerror)
                break
            logger.info("This process keeps to processor %d", number)
            try:
                yield number
            finally:
                os.sched_setaffinity(0, allowed)
            return
    yield None


def _claimed(number: int) -> socket.socket | None:
    """What holds the claim until it is closed; ``None`` where another process has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        claim.bind(f"{_ADDRESS}{number}")
    except OSError:
        claim.close()
        return None
    return claim
