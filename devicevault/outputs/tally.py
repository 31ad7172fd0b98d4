"""What a batch of stored results adds to the metrics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from devicevault import names
from devicevault.errors import CollectionError
from devicevault.messages import CollectResult, Status
from devicevault.store import WriteReport

#: Codes of :mod:`devicevault.errors`; any other, of a worker of another release, is counted as ``other``.
ERRORS: Final = frozenset({CollectionError.code, *(kind.code for kind in CollectionError.__subclasses__())})
#: What asks for collections: the first part of a result's task identifier.
ASKERS: Final = frozenset({"manual", "scheduled", "syslog"})
OTHER: Final = "other"


@dataclass
class Tally:
    """How often what happened, by the values of the labels."""

    #: By group, status and error.
    results: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    #: By group and who asked.
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: By group and reason.
    revisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Of the sessions of each group.
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, results: Sequence[CollectResult], report: WriteReport) -> Tally:
        """What was committed of these results."""
        tally = cls()
        by_task = {result.task_id: result for result in results}
        for result in map(by_task.__getitem__, report.written):
            group = group_label(result.group)
            status = Status.SUSPECT if result.task_id in report.suspects else result.status
            tally.results[group, str(status), _error_label(result.error)] += 1
            tally.asked[group, _asker_label(result.task_identifier)] += 1
            if result.started_at is not None:
                tally.seconds[group].append(result.collection_duration_ms / 1000)
        for change in report.changes:
            tally.revisions[group_label(by_task[change.task_id].group), change.reason] += 1
        return tally

    def to_json(self) -> dict[str, Any]:
        """As another process is told of it."""
        counted: dict[str, Counter[Any]] = {"results": self.results, "asked": self.asked, "revisions": self.revisions}
        rows = {name: [[*labels, number] for labels, number in one.items()] for name, one in counted.items()}
        return {**rows, "seconds": self.seconds}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Tally:
        """What :meth:`to_json` made."""
        results, asked, revisions = (
            Counter({tuple(labels): number for *labels, number in told[name]})
            for name in ("results", "asked", "revisions")
        )
        return cls(results, asked, revisions, told["seconds"])


def group_label(group: str) -> str:
    """A group's name as a label: whatever a worker sends, nothing but a name."""
    return group if names.is_group_name(group) else OTHER


def _error_label(error: str) -> str:
    return error if not error or error in ERRORS else OTHER


def _asker_label(task_identifier: str) -> str:
    asker = task_identifier.partition(":")[0]
    return asker if asker in ASKERS else OTHER
