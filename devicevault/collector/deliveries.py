"""Requests this process is working on or has finished, so that a second delivery leads to no second session.

A broker delivers a request again when it did not learn of its acknowledgement: after a restart of the broker
while the session was running, most of all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

REMEMBERED: Final = 10_000


class Deliveries:
    """Task ids at work and task ids done. Thread-safe."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._changed = threading.Condition()
        self._at_work: set[str] = set()
        self._done: OrderedDict[str, None] = OrderedDict()

    @contextmanager
    def work(self, task_id: str) -> Iterator[bool]:
        """Waits until no other thread works on this task; True when it has been done by then.

        Left without an exception, the task is done: its result is in the stream.
        """
        with self._changed:
            while task_id in self._at_work:
                self._changed.wait()
            done = task_id in self._done
            self._at_work.add(task_id)
        try:
            yield done
        except BaseException:
            self._leave(task_id, done)
            raise
        self._leave(task_id, done=True)

    def _leave(self, task_id: str, done: bool) -> None:
        with self._changed:
            self._at_work.discard(task_id)
            if done:
                self._done[task_id] = None
                self._done.move_to_end(task_id)
                while len(self._done) > self._remembered:
                    self._done.popitem(last=False)
            self._changed.notify_all()
