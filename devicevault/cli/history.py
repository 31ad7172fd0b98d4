"""``devicevault history DEVICE``: its revisions and its collections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.clock import local_time, seconds, to_the_minute
from devicevault.cli.console import console, print_json, print_table, say, status_text, table
from devicevault.cli.pager import paged
from devicevault.settings import Settings
from devicevault.wording import counted

if TYPE_CHECKING:
    from devicevault.store.reader import ResultSummary, Revision

#: Characters of a run's number that are shown, and that other commands take.
RUN_CHARACTERS: Final = 8


@click.command(epilog=examples("devicevault history core-sw1", "devicevault history core-sw1 --limit 3 --log"))
@click.argument("device")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many of each, newest first.",
)
@click.option("--log", "with_log", is_flag=True, help="Also the steps of the newest collection, one by one.")
@click.option("--archived", is_flag=True, help="Also of a device that left the inventory and was archived.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def history(settings: Settings, device: str, limit: int, with_log: bool, archived: bool, as_json: bool) -> None:
    """A device's revisions (one for each change) and collections, newest first."""
    from devicevault.store import open_store
    from devicevault.store.reader import device_results, device_revisions, find_device, result_log

    with open_store(settings.database_url) as store, store.reading() as session:
        found = find_device(session, device, archived=archived)
        results = device_results(session, found, limit=limit)
        revisions = device_revisions(session, found, limit=limit)
        steps = result_log(session, results[0].task_id) if results and with_log else []
    if as_json:
        print_json(
            {
                "device": found.name,
                "device_id": found.device_id,
                "revisions": [_without_text(revision) for revision in revisions],
                "results": [asdict(result) for result in results],
                **({"log": steps} if with_log else {}),
            }
        )
        return
    with paged():
        _print_revisions(revisions)
        console().print()
        _print_results(results)
        if with_log:
            _print_log(steps)


def _print_revisions(revisions: Sequence[Revision]) -> None:
    if not revisions:
        console().print("never backed up")
        return
    are_many = len({revision.artifact for revision in revisions}) > 1
    grid = table("Rev", *(["Artifact"] if are_many else []), "Found", "Lines", "Why", "Run", "Changed by")
    for column in grid.columns[:-1]:
        column.no_wrap = True
    for revision in revisions:
        grid.add_row(
            str(revision.number),
            *([revision.artifact] if are_many else []),
            to_the_minute(revision.collected_at),
            f"+{revision.added} -{revision.removed}",
            revision.reason,
            revision.run_id[:RUN_CHARACTERS],
            revision.author,
        )
    print_table(grid)
    newest = {revision.artifact: revision for revision in reversed(revisions)}
    for artifact, revision in sorted(newest.items()):
        numbers = {one.number for one in revisions if one.artifact == artifact}
        pruned = revision.number - min(numbers) + 1 - len(numbers)
        seen = f"{artifact}: revision {revision.number} was last seen {local_time(revision.confirmed_at)}"
        say(console(), f"{seen}, {_kind(revision)}", style="dim")
        if pruned:
            say(console(), f"{artifact}: pruned among these: {counted(pruned, 'revision')}", style="dim")


def _kind(revision: Revision) -> str:
    """How large a text is; the size of a file stands in what is shown of it."""
    from devicevault.outputs.filenames import is_text

    return f"{revision.size} bytes" if is_text(revision.media_type) else "a file"


def _print_results(results: Sequence[ResultSummary]) -> None:
    grid = table("Asked for", "Status", "Took", "Rev", "Why")
    for column in grid.columns[:-1]:
        column.no_wrap = True
    for result in results:
        numbers = [str(artifact["revision"]) for artifact in result.artifacts if artifact["revision"]]
        grid.add_row(
            to_the_minute(result.requested_at),
            status_text(result.status),
            seconds(result.duration_ms) if result.is_final else "",
            ", ".join(dict.fromkeys(numbers)) + (" new" if result.changed else ""),
            f"{result.error}: {result.error_message}" if result.error else result.error_message,
        )
    print_table(grid)


def _print_log(steps: Sequence[dict[str, Any]]) -> None:
    out = console()
    out.print("\nThe newest collection, step by step", style="bold")
    for step in steps:
        moment = local_time(datetime.fromisoformat(step["time"]))
        say(out, f"{moment} {step['severity']}: {step['message']}")


def _without_text(revision: Revision) -> dict[str, Any]:
    values = asdict(revision)
    del values["text"]
    return values
