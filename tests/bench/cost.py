"""What processes cost: processor time and memory, as the kernel counts them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Cost:
    """Of one process with its children, or of several."""

    #: User and system time so far.
    cpu_s: float = 0.0
    #: Resident memory now, and the most it ever was.
    memory_mb: float = 0.0
    peak_mb: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu_s + other.cpu_s, self.memory_mb + other.memory_mb, self.peak_mb + other.peak_mb)

    def __sub__(self, before: Cost) -> Cost:
        """What was spent since ``before``; memory is not spent."""
        return Cost(self.cpu_s - before.cpu_s, self.memory_mb, self.peak_mb)


def cost_of(pid: int) -> Cost:
    """The process's cost and its living descendants'; what has ended is in its parent's time."""
    with contextlib.suppress(OSError):
        cost = _cost_of_one(pid)
        for child in children_of(pid):
            cost += cost_of(child)
        return cost
    return Cost()


def _cost_of_one(pid: int) -> Cost:
    # The name in parentheses may hold blanks.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    cpu_s = sum(map(int, fields[11:15])) / _TICKS_PER_S
    sizes = dict.fromkeys(("VmRSS", "VmHWM"), 0.0)
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) / 1000
    return Cost(cpu_s, sizes["VmRSS"], sizes["VmHWM"])


def children_of(pid: int) -> list[int]:
    """The processes it started and did not yet bury, oldest first."""
    return [
        int(child)
        for task in (_PROC / str(pid) / "task").iterdir()
        for child in (task / "children").read_text().split()
    ]
