"""Which part of a worker one process is: Python's threads share one processor, processes do not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from devicevault.settings import WorkerSettings
from devicevault.settings.schema import PROCESSES_MAX

#: Where the settings leave it to us, a worker has a process for so many sessions: they keep most of a processor busy.
SESSIONS_OF_ONE: Final = 50


def processes_of(worker: WorkerSettings, processors: int | None = None) -> int:
    """How many processes a worker with these settings has, on a host with so many ``processors``: as this one, if None.

    Never one without a session.
    """
    if processors is None:
        processors = len(os.sched_getaffinity(0))
    wanted = worker.processes or min(worker.concurrency // SESSIONS_OF_ONE, processors)
    return max(1, min(wanted, worker.concurrency))


def group_of(node: str) -> str:
    """The collector group of a process by the name Celery knows it by, as :meth:`Share.node` gives it."""
    return node.partition("@")[0].partition(".")[0]


@dataclass(frozen=True)
class Share:
    """The ``number``-th, from 1, of so many processes."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> Share:
        """The share that was written as ``text``. Raises :class:`ValueError`."""
        number, _, of = text.partition("/")
        share = cls(int(number), int(of))
        if not 1 <= share.number <= share.of:
            raise ValueError(f"{text!r} is no process of a worker")
        return share

    def sessions(self, concurrency: int) -> int:
        """How many of the worker's sessions are this process's."""
        return max(1, concurrency // self.of + (self.number <= concurrency % self.of))

    def node(self, group: str, host: str) -> str:
        """The name Celery knows this process by."""
        return f"{group}@{host}" if self.of == 1 else f"{group}.{self.number}@{host}"

    def not_of_it(self, group: str, host: str) -> set[str]:
        """Names that processes of this worker had if there were more or fewer of them before."""
        every = {Share(number, PROCESSES_MAX).node(group, host) for number in range(1, PROCESSES_MAX + 1)}
        return (every | {Share().node(group, host)}) - {
            Share(number, self.of).node(group, host) for number in range(1, self.of + 1)
        }
