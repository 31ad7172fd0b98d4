"""``devicevault prune``: delete what the settings keep no longer, and archive devices that left the inventory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import console, errors, print_json, print_table, say, table
from devicevault.errors import ServiceUnavailable
from devicevault.settings import RetentionSettings, Settings
from devicevault.wording import counted

if TYPE_CHECKING:
    from devicevault.store import Store
    from devicevault.store.archive import Archiving
    from devicevault.store.retention import Amount, Tally, Tell
    from devicevault.store.retention.space import Space

#: Seconds after which a terminal is shown how far it is.
PATIENCE_S: Final = 2.0
#: Names told of a kind of device.
NAMES_MAX: Final = 10


@click.command(
    epilog=examples(
        "devicevault prune --dry-run     what would go, and how much room that makes",
        "devicevault prune --vacuum      and give the room in the database back to the disk",
    )
)
@click.option("--dry-run", is_flag=True, help="Change nothing: tell what would go.")
@click.option("--vacuum", is_flag=True, help="Also give the database's free room back to the disk.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def prune(settings: Settings, dry_run: bool, vacuum: bool, as_json: bool) -> None:
    """Delete what [retention] of the settings keeps no longer, and archive devices that left the inventory.

    Revisions are thinned out: all are kept for a time, then the last of each day, week and month. The newest good
    backup of every device stays with its original, whatever its age. It works in small steps: collections are stored
    meanwhile, and where it is interrupted, the next one goes on.

    --vacuum writes a SQLite database of an earlier release anew, once: its disk must have room for it twice more, and
    results wait in the stream meanwhile.
    """
    from devicevault.store import open_store
    from devicevault.store.retention import prune as delete_old
    from devicevault.store.retention.space import give_back, space_of

    if dry_run and vacuum:
        raise click.UsageError("--dry-run changes nothing, and --vacuum does: leave one of them out")
    now = datetime.now(UTC)
    with open_store(settings.database_url) as store:
        archiving = _archive(settings, store, now, dry_run=dry_run)
        with _progress() as tell:
            tally = delete_old(store, settings.retention, now, dry_run=dry_run, tell=tell)
            if vacuum:
                give_back(store, tell)
        space = space_of(store)
    letters, trouble = None, None
    try:
        letters = _dead_letters(settings, now, dry_run=dry_run)
    except ServiceUnavailable as error:  # they have their turn next time
        trouble = error
    if as_json:
        kinds = {kind.value: asdict(amount) for kind, amount in tally}
        print_json(
            {
                "dry_run": dry_run,
                "deleted": {**kinds, "dead_letters": letters and asdict(letters)},
                "devices": archiving and asdict(archiving),
                "database": asdict(space),
            }
        )
    else:
        _print(settings.retention, tally, letters, dry_run=dry_run)
        if archiving is not None:
            _tell_of_devices(archiving, settings.retention.archive_after_days, dry_run=dry_run)
        _tell_of_space(space, tally.bytes if dry_run else 0)
    if trouble:
        raise trouble


def _archive(settings: Settings, store: Store, now: datetime, *, dry_run: bool) -> Archiving | None:
    """``None`` where nobody can tell which devices there are."""
    from devicevault.cli.standing import readable_inventory
    from devicevault.store.archive import archive_absent

    inventory = readable_inventory(settings, "no device is archived")
    if inventory is None:
        return None
    ids = [device.device_id for device in inventory]
    with store.reading() if dry_run else store.session() as session:
        return archive_absent(session, ids, settings.retention.archive_after_days, now, dry_run=dry_run)


def _dead_letters(settings: Settings, now: datetime, *, dry_run: bool) -> Amount | None:
    """``None`` where they are kept for ever. Raises :class:`ServiceUnavailable` where Redis does not answer."""
    days = settings.retention.dead_letters_days
    if not days:
        return None
    from devicevault.store.retention import Amount
    from devicevault.stream import DeadLetters, connect_redis

    with connect_redis(settings.redis_url) as redis:
        letters = DeadLetters(redis, settings.results_stream)
        return Amount(*letters.expire(now - timedelta(days=days), dry_run=dry_run))


def _print(retention: RetentionSettings, tally: Tally, letters: Amount | None, *, dry_run: bool) -> None:
    grid = table("What", "Kept", "Would go" if dry_run else "Deleted", "Room")
    for column in grid.columns[2:]:
        column.justify, column.no_wrap = "right", True
    rules = _rules(retention)
    amounts = {kind.value: amount for kind, amount in tally}
    if letters is not None:
        amounts["dead letters"] = letters
    for name, amount in amounts.items():
        grid.add_row(name, rules[name], str(amount.count), _size(amount.bytes) if amount.count else "")
    print_table(grid)


def _tell_of_space(space: Space, to_be_free: int) -> None:
    out = console()
    file = "database file" if space.free is not None else "database"
    if to_be_free:
        say(out, f"The {file} has {_size(space.bytes)}; about {_size(to_be_free)} of it would be free for new rows")
    elif space.free:
        free = f"{_size(space.free)} of it are free for new rows"
        say(
            out,
            f"The {file} has {_size(space.bytes)}: {free}. `devicevault prune --vacuum` gives them back to the disk.",
        )
    else:
        more = "" if space.free is not None else "; PostgreSQL fills the room of deleted rows with new ones"
        say(out, f"The {file} has {_size(space.bytes)}{more}")


def _tell_of_devices(archiving: Archiving, after_days: int, *, dry_run: bool) -> None:
    out = console()
    would = "would be " if dry_run else ""
    if archiving.archived:
        say(out, f"{would}archived, having left the inventory {after_days} days ago: {_listed(archiving.archived)}")
    if archiving.returned:
        say(out, f"{would}taken out of the archive, being in the inventory again: {_listed(archiving.returned)}")
    if archiving.absent:
        when = f"archived after {after_days} days" if after_days else "never archived"
        say(out, f"not in the inventory, and {when}: {_listed(archiving.absent)}")


def _rules(retention: RetentionSettings) -> dict[str, str]:
    """How long each kind is kept, in words."""
    tiers = []
    for count, unit, what in (
        (retention.all_days, "day", "all"),
        (retention.daily_days, "day", "daily"),
        (retention.weekly_weeks, "week", "weekly"),
        (retention.monthly_months, "month", "monthly"),
    ):
        tiers.append(f"{what} for {counted(count, unit)}" if count else f"{what} for ever")
        if not count:
            break
    return {
        "revisions": ", then ".join(tiers),
        "texts": "as long as a revision has them",
        "originals": _days(retention.originals_days, "as long as their revisions"),
        "results": _days(retention.results_days, "for ever") + ", those of revisions as long as these",
        "logs": _days(retention.logs_days, "as long as their results"),
        "runs": _days(retention.runs_days, "for ever"),
        "dead letters": _days(retention.dead_letters_days, "for ever"),
    }


def _days(days: int, otherwise: str) -> str:
    return f"for {counted(days, 'day')}" if days else otherwise


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return ", ".join(names[:NAMES_MAX]) + more


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on a terminal, once it takes longer."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    out = errors()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
    bar = progress.add_task("", total=None)
    begun = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        if not progress.live.is_started and time.monotonic() - begun > PATIENCE_S:
            progress.start()
        progress.update(bar, description=what, completed=done, total=total)

    try:
        yield tell
    finally:
        progress.stop()
