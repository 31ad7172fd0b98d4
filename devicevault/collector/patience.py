"""What needs Redis is done again and again while Redis is away, and nothing new is begun meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from devicevault.collector.holds import Holds
from devicevault.errors import CollectionInterrupted, ServiceUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two tries of a Redis that does not answer: the first, and the longest.
RETRY_S: Final = 0.5
RETRY_MAX_S: Final = 15.0


class Patience:
    """Waits for Redis until the worker is to stop. Thread-safe."""

    def __init__(self, holds: Holds, stopping: threading.Event) -> None:
        self._holds = holds
        self._stopping = stopping

    def insist(self, action: Callable[[], T]) -> T:
        """What ``action`` returns once it does not raise :class:`ServiceUnavailable` any more.

        Raises :class:`CollectionInterrupted` when the worker is stopping before that.
        """
        try:
            return action()
        except ServiceUnavailable as error:
            with self._holds.refused(error.problem) as is_first:
                if is_first:
                    logger.warning("%s; holding on to what I have until it is back", error)
                outcome = self._again(action)
        if is_first:
            logger.info("Redis is back")
        return outcome

    def _again(self, action: Callable[[], T]) -> T:
        wait_s = RETRY_S
        while not self._stopping.wait(wait_s):
            try:
                return action()
            except ServiceUnavailable:
                wait_s = min(2 * wait_s, RETRY_MAX_S)
        raise CollectionInterrupted("the worker is stopping")
