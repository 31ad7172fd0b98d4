"""The line a worker shows in ``systemctl status``, renewed every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from devicevault.collector.activity import Activity
from devicevault.daemons.status import LiveStatus
from devicevault.daemons.worker_state import WorkerState

EVERY_S: Final = 5.0


class WorkerReport:
    """Tells it as long as the ``with`` block lasts, from a thread of its own."""

    def __init__(self, activity: Callable[[], Activity], *, supervised: bool = False) -> None:
        """``activity`` gives what the tasks are counted in at that moment.

        A ``supervised`` process tells it in a form to be read by a program as well.
        """
        self.status = LiveStatus(
            lambda: self._state().numbers, (lambda: (self._state().assignment(),)) if supervised else tuple
        )
        self._activity = activity
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> WorkerReport:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.status.tell()

    def _state(self) -> WorkerState:
        activity = self._activity()
        counts = activity.counts()
        return WorkerState(
            self.status.doing,
            activity.paused,
            self.status.trouble,
            counts.in_flight,
            counts.stuck,
            counts.done,
            counts.failed,
        )
