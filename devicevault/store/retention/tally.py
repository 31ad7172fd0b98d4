"""What pruning deletes, in kinds that an operator knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What there is to delete."""

    REVISIONS = "revisions"
    #: Texts that no revision has any more.
    TEXTS = "texts"
    ORIGINALS = "originals"
    RESULTS = "results"
    #: The steps of collections whose rows stay.
    LOGS = "logs"
    RUNS = "runs"


@dataclass
class Amount:
    """How many there are, and the bytes they take in the database: of rows about, of texts and originals exactly."""

    count: int = 0
    bytes: int = 0

    def add(self, count: int, size: int = 0) -> None:
        self.count += count
        self.bytes += size


@dataclass(frozen=True)
class Tally:
    """What was deleted of each kind, or would be."""

    amounts: dict[Kind, Amount] = field(default_factory=lambda: {kind: Amount() for kind in Kind})

    def __getitem__(self, kind: Kind) -> Amount:
        return self.amounts[kind]

    def __iter__(self) -> Iterator[tuple[Kind, Amount]]:
        return iter(self.amounts.items())

    @property
    def counts(self) -> dict[str, int]:
        """Of each kind of which there is any."""
        return {kind.value: amount.count for kind, amount in self if amount.count}

    @property
    def bytes(self) -> int:
        return sum(amount.bytes for amount in self.amounts.values())


#: Called with what is done, how much of it, and of how much.
Tell = Callable[[str, int, int], None]
