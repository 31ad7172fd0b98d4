"""``devicevault scrub``: take out a secret that slipped through the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import console, errors, print_json, say
from devicevault.errors import ServiceUnavailable, UsageError
from devicevault.settings import Settings

if TYPE_CHECKING:
    from devicevault.store.scrub import Scrubbed
    from devicevault.stream.scrub import StreamScrubbed

#: What is shorter would be a part of other words all over the configurations.
SECRET_MIN_CHARACTERS: Final = 4


@click.command(
    epilog=examples(
        "devicevault scrub --dry-run     asks for the secret, and tells where it is",
        "devicevault scrub --secret-file /root/leaked",
    )
)
@click.option(
    "--secret-file", type=click.Path(path_type=Path), metavar="FILE", help="Its first line is it; asked for otherwise."
)
@click.option("--dry-run", is_flag=True, help="Change nothing: tell where the secret is.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def scrub(settings: Settings, secret_file: Path | None, dry_run: bool, as_json: bool) -> None:
    """Take a secret that no rule had hidden out of the database, the stream and the git mirror.

    It is asked for, or read from a file: never an argument. Let a rule of the platform's page hide it first, or the
    next collection brings it again. Sealed originals keep it: they are what restores a device.
    """
    from devicevault.collector.redact import PLACEHOLDER
    from devicevault.store import open_store, scrub

    secret = _secret(secret_file)
    with open_store(settings.database_url) as store:
        found = scrub.holding(store, secret) if dry_run else scrub.scrub(store, secret, PLACEHOLDER)
    in_stream = _in_stream(settings, secret, dry_run=dry_run)
    if as_json:
        told = {"database": asdict(found), "stream": asdict(in_stream) if in_stream else None}
        print_json({**told, "changed": not dry_run})
    else:
        _tell(found, in_stream, dry_run=dry_run)
    if not dry_run and found.found_anything:
        _mirror(settings)
        _tell_of_copies(settings)


def _secret(path: Path | None) -> str:
    from devicevault.cli.secret import ask_secret, secret_in

    secret = secret_in(path, "the secret") if path else ask_secret("Secret to take out")
    if len(secret) < SECRET_MIN_CHARACTERS or "\n" in secret:
        raise UsageError(
            f"a secret of fewer than {SECRET_MIN_CHARACTERS} characters stands in other words as well",
            "hide it with a rule of the platform's page",
        )
    return secret


def _in_stream(settings: Settings, secret: str, *, dry_run: bool) -> StreamScrubbed | None:
    from devicevault.stream import connect_redis
    from devicevault.stream.scrub import scrub_stream

    try:
        with connect_redis(settings.redis_url) as redis:
            return scrub_stream(redis, settings.results_stream, secret, dry_run=dry_run)
    except ServiceUnavailable as error:
        say(errors(), f"the stream was not looked at: {error}", style="yellow")
        return None


def _tell(found: Scrubbed, in_stream: StreamScrubbed | None, *, dry_run: bool) -> None:
    out = console()
    where = "it stands in" if dry_run else "it was taken out of"
    say(out, f"database: {where} {_count(found.configs, 'text')} and {_count(found.others, 'other value')}")
    if found.devices:
        say(out, "devices: " + _listed(found.devices))
    if in_stream is not None:
        done = "to delete" if dry_run else "deleted"
        say(out, f"stream: {_count(in_stream.deleted, 'entry', 'entries')} {done}")
        if in_stream.left:
            say(errors(), f"{in_stream.left} entries with it are not stored yet, or dead letters; run this again later")
    if found.platforms and not dry_run:
        say(out, f"See that a rule hides it from now on: devicevault platforms show {found.platforms[0]}")


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number} {word if number == 1 else words or word + 's'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _mirror(settings: Settings) -> None:
    """Make the git mirror anew: a commit that takes the secret out would leave it in those before."""
    if not settings.mirror.enabled:
        return
    from devicevault.cli.git import rebuild

    click.get_current_context().invoke(rebuild)


def _tell_of_copies(settings: Settings) -> None:
    """Copies of the database that are older than this."""
    if settings.database_url.startswith("sqlite:///"):
        path = Path(settings.database_url.removeprefix("sqlite:///"))
        for copy in sorted(path.parent.glob(f"{path.name}.*-*")):
            say(errors(), f"{copy} is a copy from before an upgrade, and was left as it is", style="yellow")
    say(errors(), "Backups and exports made before today hold it still.", style="yellow")
