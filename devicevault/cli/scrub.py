"""``devicevault scrub``: take out a secret that slipped through the rules."""

from __future__ import annotations

import re
import sys
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
    from devicevault.leak import Leak
    from devicevault.outputs.mirror.mirror import Mirrored
    from devicevault.store.scrub import Scrubbed
    from devicevault.stream.scrub import StreamScrubbed

#: What is shorter would be a part of other words all over the configurations.
SECRET_MIN_CHARACTERS: Final = 4
#: A private key of 16,384 bits has 13,000.
SECRET_MAX_CHARACTERS: Final = 50_000
#: The first line of a key or certificate, which by itself is no secret.
ARMOUR: Final = re.compile(r"-+ ?BEGIN [^\n]*-+")


@click.command(
    epilog=examples(
        "devicevault scrub --dry-run     asks for the secret, and tells where it is",
        "devicevault scrub --secret-file leaked.pem     of several lines, such as a private key",
    )
)
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="All of it is the secret; asked for otherwise.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing: tell where the secret is.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def scrub(settings: Settings, secret_file: Path | None, dry_run: bool, as_json: bool) -> None:
    """Take a secret that no rule had hidden out of the database, the stream and the git mirror.

    It is asked for, or read from a file or standard input: never an argument. One of several lines is found however a
    device breaks it into lines. Let a rule of the platform's page hide it first, or the next collection brings it
    again. Sealed originals keep it: they are what restores a device.
    """
    from devicevault.collector.redact import PLACEHOLDER
    from devicevault.store import open_store, scrub

    leak = _leak(secret_file)
    with open_store(settings.database_url) as store:
        found = scrub.holding(store, leak) if dry_run else scrub.scrub(store, leak, PLACEHOLDER)
    in_stream = _in_stream(settings, leak, dry_run=dry_run)
    if not as_json:
        _tell(found, in_stream, dry_run=dry_run)
    is_changed = not dry_run and found.found_anything
    mirrored = _mirror(settings) if is_changed else None
    if as_json:
        told = {"database": asdict(found), "stream": asdict(in_stream) if in_stream else None}
        print_json({**told, "mirror": {"commits": mirrored.commits} if mirrored else None, "changed": not dry_run})
    elif mirrored:
        say(console(), f"git mirror: made anew, {_count(mirrored.commits, 'commit')}")
    if is_changed:
        _tell_of_copies(settings)
    elif not dry_run and settings.mirror.enabled:
        say(errors(), "the git mirror was left as it is; after a scrub that was cut short: devicevault git rebuild")


def _leak(path: Path | None) -> Leak:
    """What is to be taken out. Raises :class:`UsageError`."""
    from devicevault.cli.secret import ask_secret
    from devicevault.leak import Leak

    if path is not None:
        secret = _content(path)
    elif sys.stdin.isatty():
        secret = ask_secret("Secret to take out, on one line")
    else:
        secret = sys.stdin.read(SECRET_MAX_CHARACTERS + 1)
    if ARMOUR.fullmatch(secret.strip()):
        raise UsageError(
            "this is the first line of a secret only", "write all its lines into a file: --secret-file FILE"
        )
    if len(secret) > SECRET_MAX_CHARACTERS:
        raise UsageError(
            f"a secret of more than {SECRET_MAX_CHARACTERS} characters is none", "give the part of it that is secret"
        )
    leak = Leak(secret)
    if leak.characters < SECRET_MIN_CHARACTERS:
        raise UsageError(
            f"a secret of fewer than {SECRET_MIN_CHARACTERS} characters stands in other words as well",
            "hide it with a rule of the platform's page",
        )
    return leak


def _content(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(SECRET_MAX_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"{path}: the secret can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: the secret is not UTF-8 text") from None


def _in_stream(settings: Settings, leak: Leak, *, dry_run: bool) -> StreamScrubbed | None:
    from devicevault.stream import connect_redis
    from devicevault.stream.scrub import scrub_stream

    try:
        with connect_redis(settings.redis_url) as redis:
            return scrub_stream(redis, settings.results_stream, leak, dry_run=dry_run)
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
            waiting = _count(in_stream.left, "entry", "entries")
            say(errors(), f"{waiting} with it not stored yet: run this again later", style="yellow")
        if in_stream.dead:
            dead = f"dead letters hold it: {_listed(in_stream.dead)}"
            say(errors(), f"{dead}; see: devicevault deadletter list", style="yellow")
    if found.platforms and not dry_run:
        say(out, f"See that a rule hides it from now on: devicevault platforms show {found.platforms[0]}")


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number} {word if number == 1 else words or word + 's'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _mirror(settings: Settings) -> Mirrored | None:
    """Make the git mirror anew: a commit that takes the secret out would leave it in those before."""
    if settings.mirror.enabled:
        from devicevault.cli.git import make_anew

        return make_anew(settings)
    if settings.mirror.path.exists():
        say(errors(), f"{settings.mirror.path} is kept no more, and holds it still: delete it", style="yellow")
    return None


def _tell_of_copies(settings: Settings) -> None:
    """Copies of the database that are older than this."""
    if settings.database_url.startswith("sqlite:///"):
        path = Path(settings.database_url.removeprefix("sqlite:///"))
        for copy in sorted(path.parent.glob(f"{path.name}.*-*")):
            say(errors(), f"{copy} is a copy from before an upgrade, and was left as it is", style="yellow")
    say(errors(), "Backups, exports and clones of the git mirror made before now hold it still.", style="yellow")
