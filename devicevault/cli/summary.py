"""How a run ended: a line for each device worth one, and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from devicevault.cli.console import console, print_json, print_table, status_text, table
from devicevault.messages import FAILED, Status

if TYPE_CHECKING:
    from devicevault.store.reader import ResultSummary

#: With more devices than this, those that were backed up without a change are only counted.
EVERY_DEVICE_MAX: Final = 25


def failed(result: ResultSummary) -> bool:
    """Whether this end counts as a device that failed."""
    return result.status in FAILED


def print_summary(run_id: str, results: Sequence[ResultSummary], *, as_json: bool) -> None:
    """Print how each device of a run fared, by name; some of the rows may be an earlier run's, which it waited for."""
    results = sorted(results, key=lambda row: row.device)
    if as_json:
        print_json({"run_id": run_id, "results": [_described(row) for row in results]})
        return
    few = len(results) <= EVERY_DEVICE_MAX
    shown = [row for row in results if few or row.changed or row.status != Status.SUCCESS]
    if shown:
        grid = table("Device", "Platform", "Result", "Seconds", "What happened")
        for row in shown:
            seconds = f"{row.duration_ms / 1000:.1f}" if row.duration_ms else ""
            grid.add_row(row.device, row.platform, status_text(row.status), seconds, outcome(row))
        print_table(grid)
    console().print(counts(results), style="bold")


def counts(results: Sequence[ResultSummary]) -> str:
    """``12 devices: 9 success, 2 failure, 1 skipped``."""
    by_status = Counter(row.status for row in results)
    known = [status.value for status in Status]
    in_order = sorted(by_status, key=lambda status: known.index(status) if status in known else len(known))
    parts = ", ".join(f"{by_status[status]} {status}" for status in in_order)
    return f"{len(results)} {'device' if len(results) == 1 else 'devices'}: {parts or 'nothing to do'}"


def outcome(row: ResultSummary) -> str:
    """What there is to say of one result, in a few words."""
    if row.status == Status.QUEUED:
        return "not done yet"
    if row.status != Status.SUCCESS:
        return f"{row.error}: {row.error_message}" if row.error else row.error_message
    if not row.changed:
        return "unchanged"
    revisions = [artifact.get("revision") for artifact in row.artifacts]
    if all(number == 1 for number in revisions):
        return "first backup"
    return f"changed, see: devicevault diff {row.device}"


def _described(row: ResultSummary) -> dict[str, Any]:
    return asdict(row)
