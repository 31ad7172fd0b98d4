"""What a worker's process tells its supervisor beside the words of its status line, and what several tell together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from devicevault.daemons.status import line
from devicevault.settings import mask_passwords

#: systemd passes over assignments that begin with ``X_``.
FIELD: Final = "X_DEVICEVAULT_WORKER"
WORDS_MAX_CHARACTERS: Final = 500


@dataclass(frozen=True)
class WorkerState:
    """One process at one moment, or all of a worker's together."""

    #: What it does, why it begins nothing, and why a reload was refused: in words.
    doing: str = "starting"
    paused: str = ""
    trouble: str = ""
    in_flight: int = 0
    stuck: int = 0
    done: int = 0
    failed: int = 0

    @property
    def numbers(self) -> str:
        """In words, after why there are none."""
        told = f"{self.in_flight} in flight, {self.stuck} stuck, {self.done} done, {self.failed} failed"
        return f"{self.paused}; {told}" if self.paused else told

    def line(self) -> str:
        """As ``systemctl status`` shows it."""
        return line(self.doing, self.numbers, self.trouble)

    def assignment(self) -> str:
        """As it stands in a datagram."""
        told = {
            name: mask_passwords(value)[:WORDS_MAX_CHARACTERS] if isinstance(value, str) else value
            for name, value in asdict(self).items()
        }
        return f"{FIELD}={json.dumps(told)}"

    @classmethod
    def read(cls, value: str) -> WorkerState:
        """What :meth:`assignment` wrote. Raises :class:`ValueError` or :class:`TypeError`."""
        return cls(**json.loads(value))


def merged(states: Mapping[int, WorkerState], ended: Iterable[WorkerState] = ()) -> WorkerState:
    """The state of a worker, from those of its processes by their numbers, and from those that ``ended`` before."""
    total = [*states.values(), *ended]
    return WorkerState(
        _words({number: state.doing for number, state in states.items()}),
        _words({number: state.paused for number, state in states.items()}),
        # One process is asked to read the files, and the others only when it could.
        next((state.trouble for state in states.values() if state.trouble), ""),
        sum(state.in_flight for state in states.values()),
        sum(state.stuck for state in states.values()),
        sum(state.done for state in total),
        sum(state.failed for state in total),
    )


def _words(told: Mapping[int, str]) -> str:
    """What all say, or who says what."""
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"process {number}: {words}" for number, words in told.items() if words)
