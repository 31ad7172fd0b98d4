"""What the tasks of this process are doing: how many run, which outlived every limit, how the others ended."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from devicevault.messages import FAILED


@dataclass(frozen=True)
class Counts:
    """A moment's numbers."""

    #: Tasks that have a slot: in a session, or before or after one.
    in_flight: int = 0
    #: Those of them whose session outlived its deadline, every attempt included.
    stuck: int = 0
    #: Results published since the worker started, and those of them that left a device without a backup.
    done: int = 0
    failed: int = 0
    #: Tasks begun since the worker started.
    begun: int = 0


class Activity:
    """Counted by the tasks, read by whoever reports. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        #: When each session is over at the latest, by a number of its own (``time.monotonic``).
        self._sessions: dict[int, float] = {}
        #: Why the worker begins nothing, on purpose; empty when it does.
        self.paused = ""
        self._in_flight = self._done = self._failed = self._begun = 0

    @contextmanager
    def task(self) -> Iterator[None]:
        """A task has a slot for as long as the block lasts."""
        with self._lock:
            self._in_flight += 1
            self._begun += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    @contextmanager
    def session(self, limit_s: float) -> Iterator[None]:
        """A device is being collected, which takes ``limit_s`` at the very most."""
        with self._lock:
            number = next(self._numbers)
            self._sessions[number] = time.monotonic() + limit_s
        try:
            yield
        finally:
            with self._lock:
                del self._sessions[number]

    def published(self, status: str) -> None:
        """A result of this status is in the stream."""
        with self._lock:
            self._done += 1
            self._failed += status in FAILED

    def counts(self) -> Counts:
        """The numbers of this moment."""
        now = time.monotonic()
        with self._lock:
            stuck = sum(over_at < now for over_at in self._sessions.values())
            return Counts(self._in_flight, stuck, self._done, self._failed, self._begun)
