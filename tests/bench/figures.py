"""What a measurement found: figures beside those of the other way, and what they should be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured value."""

    what: str
    ours: float
    unit: str
    #: The other way's, in the same unit.
    other: float | None = None
    #: What it should be: a share of the other way's speed, or a bound of ours. Zero for none.
    ratio_at_least: float = 0
    at_most: float = 0
    at_least: float = 0

    @property
    def ratio(self) -> float | None:
        """How fast we are against the other way: 2 is twice as fast, or half the cost."""
        if not self.other or not self.ours:
            return None
        return self.ours / self.other if self.unit.endswith("/s") else self.other / self.ours

    @property
    def aim(self) -> str:
        """In words; empty where there is none."""
        if self.ratio_at_least:
            return f"ratio at least {self.ratio_at_least:g}"
        if self.at_most:
            return f"at most {self.at_most:g} {self.unit}"
        return f"at least {self.at_least:g} {self.unit}" if self.at_least else ""

    @property
    def is_met(self) -> bool:
        """Whether it is what it should be."""
        if self.ratio_at_least and (self.ratio or 0) < self.ratio_at_least:
            return False
        return self.ours >= self.at_least and (not self.at_most or self.ours <= self.at_most)


@dataclass
class Part:
    """One part of the bench."""

    name: str
    title: str
    #: What it is compared with; empty where there is nothing to compare with.
    beside: str
    #: How it was measured.
    how: str
    figures: list[Figure] = field(default_factory=list)

    def add(self, what: str, ours: float | Sequence[float], unit: str, **other: float | None) -> None:
        """A figure; of several runs, the median."""
        self.figures.append(Figure(what, median(ours), unit, **other))  # type: ignore[arg-type]


def median(values: float | Sequence[float]) -> float:
    """The median of several runs, or the one value."""
    return float(values) if isinstance(values, int | float) else statistics.median(values)
