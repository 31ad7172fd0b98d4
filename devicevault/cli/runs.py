"""``devicevault runs`` and ``cancel``: what was asked for, how far it is, and giving it up."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.collect import whoami
from devicevault.cli.console import console, print_json, print_table, table
from devicevault.errors import NoDatabaseYet
from devicevault.messages import Status

if TYPE_CHECKING:
    from devicevault.settings import Settings
    from devicevault.store.runs import RunSummary

#: Characters of a run's id that are shown; each command takes as many as make it the only one.
SHOWN_ID: Final = 8


@click.command(epilog=examples("devicevault runs", "devicevault runs 5d0598c4"))
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def runs(settings: Settings, run: str | None, limit: int, as_json: bool) -> None:
    """What was asked for lately, newest first; with RUN (the beginning of its id), how each of its devices fared."""
    from devicevault.cli.summary import print_summary
    from devicevault.store import open_store
    from devicevault.store.reader import run_results
    from devicevault.store.runs import find_run, recent_runs

    try:
        with open_store(settings.database_url) as store, store.reading() as session:
            if run is not None:
                run_id = find_run(session, run).run_id
                print_summary(run_id, run_results(session, run_id), as_json=as_json)
                return
            found = recent_runs(session, limit=limit)
    except NoDatabaseYet:
        if run is not None:
            raise
        found = []
    if as_json:
        print_json([asdict(one) for one in found])
    elif not found:
        console().print("nothing was ever asked for; begin with: devicevault collect --all")
    else:
        _print(found)


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def cancel(settings: Settings, run: str, as_json: bool) -> None:
    """Give up what still waits of RUN (the beginning of its id).

    Sessions that run already are not cut off. A device another run asked for too is collected for that one.
    """
    from devicevault import steering
    from devicevault.store import cancel_run, open_store
    from devicevault.store.runs import find_run
    from devicevault.stream import connect_redis

    # As long as a message may wait, and its session last; see devicevault.store.sweep.
    keep_s = settings.queue.wait_s + 2 * settings.acknowledgement_limit_s
    with (
        open_store(settings.database_url) as store,
        connect_redis(settings.redis_url) as redis,
        store.session() as session,
    ):
        found = find_run(session, run)
        cancelled = cancel_run(session, found.run_id, by=whoami())
        # The workers are told before the rows are committed: a row that says so is not collected any more.
        steering.cancel_tasks(redis, cancelled.task_ids, keep_s=keep_s)
    if as_json:
        print_json({"run_id": found.run_id, "cancelled": len(cancelled.task_ids), "passed_on": cancelled.passed_on})
        return
    passed_on = f", {cancelled.passed_on} left to other runs" if cancelled.passed_on else ""
    console().print(
        f"run {found.run_id[:SHOWN_ID]}: {len(cancelled.task_ids)} of {found.device_count} cancelled{passed_on}"
    )


def _print(found: list[RunSummary]) -> None:
    grid = table("Run", "Asked for", "By", "Kind", "Devices", "Waiting", "How it went")
    for one in found:
        done = {status: count for status, count in one.statuses.items() if status != Status.QUEUED}
        grid.add_row(
            one.run_id[:SHOWN_ID],
            local_time(one.requested_at),
            one.asked_by,
            one.kind,
            str(one.device_count),
            str(one.statuses.get(Status.QUEUED, "")),
            ", ".join(f"{done[status]} {status}" for status in sorted(done, key=lambda word: -done[word])),
        )
    print_table(grid)
