"""``devicevault deadletter``: results the consumer could not store, and what to do with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

import click

from devicevault.cli import pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.console import console, print_json, print_table, table
from devicevault.errors import UsageError

if TYPE_CHECKING:
    from devicevault.settings import Settings
    from devicevault.stream import DeadLetters


@click.group()
def deadletter() -> None:
    """Results that could not be stored: look at them, put them back, or drop them."""


@deadletter.command("list", short_help="List them, newest first.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def list_letters(settings: Settings, limit: int, as_json: bool) -> None:
    """List them, newest first, each with the reason why it could not be stored."""
    with _letters(settings) as letters:
        total = len(letters)
        found = list(islice(letters.newest_first(), limit))
    if as_json:
        print_json([asdict(letter) for letter in found])
        return
    if not found:
        console().print("no dead letters")
        return
    grid = table("Id", "Set aside", "Device", "Bytes", "Why")
    for letter in found:
        grid.add_row(letter.id, local_time(letter.set_aside_at), letter.device, str(letter.size), letter.reason)
    print_table(grid)
    if total > len(found):
        console().print(f"{len(found)} of {total}; --limit shows more")


@deadletter.command()
@click.argument("letter_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def show(settings: Settings, letter_id: str, as_json: bool) -> None:
    """What one says of itself. Configurations are told by their size only: a secret in them may not be hidden."""
    with _letters(settings) as letters:
        letter = letters.get(letter_id)
    if as_json:
        print_json(asdict(letter))
        return
    grid = table("Field", "Value")
    for name, value in letter.fields.items():
        grid.add_row(name, value)
    for name, size in letter.hidden.items():
        grid.add_row(name, f"({size} bytes)")
    print_table(grid)


@deadletter.command(short_help="Put them back into the stream.")
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every one of them.")
@pass_settings
def retry(settings: Settings, letter_ids: tuple[str, ...], everything: bool) -> None:
    """Put them back into the stream, once the reason is mended; the consumer tries to store them again."""
    with _letters(settings) as letters:
        chosen = _chosen(letters, letter_ids, everything=everything)
        for letter_id in chosen:
            letters.retry(letter_id)
    console().print(f"{len(chosen)} put back; what fails again comes back here: devicevault deadletter list")


@deadletter.command()
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every one of them.")
@pass_settings
def drop(settings: Settings, letter_ids: tuple[str, ...], everything: bool) -> None:
    """Delete them for good; the rows of their tasks stay as they are."""
    with _letters(settings) as letters:
        chosen = _chosen(letters, letter_ids, everything=everything)
        for letter_id in chosen:
            letters.drop(letter_id)
    console().print(f"{len(chosen)} dropped")


@contextmanager
def _letters(settings: Settings) -> Iterator[DeadLetters]:
    from devicevault.stream import DeadLetters, connect_redis

    with connect_redis(settings.redis_url) as redis:
        yield DeadLetters(redis, settings.results_stream)


def _chosen(letters: DeadLetters, letter_ids: tuple[str, ...], *, everything: bool) -> list[str]:
    """The ids to act on, oldest first where it is all of them: results of one device stay in their order."""
    if everything == bool(letter_ids):
        raise UsageError("name dead letters or give --all", "see: devicevault deadletter list")
    if everything:
        return [letter.id for letter in letters.newest_first()][::-1]
    return list(letter_ids)
