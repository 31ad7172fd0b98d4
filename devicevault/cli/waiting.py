"""Follow a run while the workers collect it: live progress, then the summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import click

from devicevault.cli import finish
from devicevault.cli.console import errors
from devicevault.cli.summary import failed, print_summary
from devicevault.errors import ExitCode, ServiceUnavailable
from devicevault.messages import Status
from devicevault.store import Store, reader

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from devicevault.store.reader import ResultSummary

#: Seconds between two looks: at first, and at most, as the waiting grows long.
POLL_S: Final = 0.25
POLL_MAX_S: Final = 2.0
#: Without any result for this long, a hint tells where to look.
QUIET_S: Final = 20.0
#: How long the database may be away before waiting ends.
AWAY_S: Final = 60.0

Counts = Mapping[str, int]


def follow(store: Store, run_id: str, *, timeout_s: float | None, as_json: bool) -> None:
    """Wait for a run, print its summary and end the command with the exit code that fits.

    Ctrl-C ends the waiting only: the workers go on.
    """
    try:
        is_done = watch(store, run_id, timeout_s=timeout_s, away_s=AWAY_S)
    except KeyboardInterrupt:
        errors().print("The workers go on without you; look with: devicevault status")
        raise
    results = summed_up(store, run_id, as_json=as_json)
    if not is_done:
        errors().print(f"{timeout_s:g} s are over; the workers go on. See: devicevault status, devicevault doctor")
    if is_done or any(map(failed, results)):
        finish(failed=any(map(failed, results)))
    click.get_current_context().exit(ExitCode.UNAVAILABLE)


def summed_up(store: Store, run_id: str, *, as_json: bool) -> list[ResultSummary]:
    """Print how each device of a run fared; returns the rows."""
    with store.reading() as session:
        results = reader.run_results(session, run_id)
    print_summary(run_id, results, as_json=as_json)
    return results


def watch(store: Store, run_id: str, *, timeout_s: float | None, away_s: float) -> bool:
    """Show progress until nothing is queued any more; False when ``timeout_s`` passed before.

    Raises :class:`~devicevault.errors.ServiceUnavailable` when the database is away for longer than ``away_s``.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("collecting"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failures]}"))
    out = errors()
    with Progress(*columns, TimeElapsedColumn(), console=out, transient=True, disable=not out.is_terminal) as progress:
        bar = progress.add_task("", total=None, failures="")
        return wait_for_run(
            lambda: patiently(lambda: _counts(store, run_id), progress.console.print, away_s),
            timeout_s=timeout_s,
            on_counts=lambda counts: _draw(progress, bar, counts),
            on_quiet=lambda: progress.console.print(
                f"no result for {QUIET_S:g} s: does a worker run for these groups? See: devicevault doctor"
            ),
        )


def wait_for_run(
    ask: Callable[[], Counts],
    *,
    timeout_s: float | None,
    on_counts: Callable[[Counts], None],
    on_quiet: Callable[[], None],
) -> bool:
    """Ask until no row is queued; False when ``timeout_s`` passed before. ``on_quiet`` is called once, at most."""
    started = last_change = time.monotonic()
    queued = -1
    hinted = False
    while True:
        counts = ask()
        on_counts(counts)
        now = time.monotonic()
        if counts.get(Status.QUEUED, 0) != queued:
            queued, last_change = counts.get(Status.QUEUED, 0), now
        if not queued:
            return True
        if timeout_s is not None and now - started >= timeout_s:
            return False
        if not hinted and now - last_change >= QUIET_S:
            on_quiet()
            hinted = True
        time.sleep(min(POLL_S + (now - started) / 100, POLL_MAX_S))


def patiently(ask: Callable[[], Counts], tell: Callable[[str], None], away_s: float) -> Counts:
    """The answer of a database that may be away for a while, as through a restart.

    Raises :class:`~devicevault.errors.ServiceUnavailable` when it stays away for ``away_s``.
    """
    deadline = time.monotonic() + away_s
    told = False
    while True:
        try:
            return ask()
        except ServiceUnavailable as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                tell(f"{error.problem}; still waiting")
            told = True
            time.sleep(POLL_S)


def _counts(store: Store, run_id: str) -> Counts:
    with store.reading() as session:
        return reader.run_progress(session, run_id)


def _draw(progress: Progress, bar: TaskID, counts: Counts) -> None:
    total = sum(counts.values())
    failures = counts.get(Status.FAILURE, 0)
    progress.update(
        bar,
        total=total,
        completed=total - counts.get(Status.QUEUED, 0),
        failures=f"{failures} failed" if failures else "",
    )
