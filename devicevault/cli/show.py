"""``devicevault show DEVICE``: its configuration, now or earlier."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.clock import Moment, local_time
from devicevault.cli.console import errors, print_json, say, visible
from devicevault.cli.pager import paged
from devicevault.errors import UsageError
from devicevault.settings import Settings
from devicevault.wording import counted

if TYPE_CHECKING:
    from devicevault.store.reader import Revision


@click.command(
    epilog=examples(
        "devicevault show core-sw1",
        "devicevault show core-sw1 --revision 3",
        "devicevault show core-sw1 --at 2026-05-04     as it was at the end of that day",
        "devicevault show core-sw1 --original -o core-sw1.cfg     what restores the device, secrets and all",
    )
)
@click.argument("device")
@click.option("--revision", "number", type=click.IntRange(min=1), metavar="N", help="This one instead of the newest.")
@click.option("--at", type=Moment(whole_day=True), metavar="DATE", help="As it was then: 2026-05-04, or 7d ago.")
@click.option("--artifact", metavar="NAME", default="", help="Which of the device's texts; the first one otherwise.")
@click.option(
    "--original", "is_original", is_flag=True, help="As the device sent it, secrets and all; opens it with vault.key."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, for you alone.")
@click.option("--suspect", is_flag=True, help="The suspect one that is held until it is accepted.")
@click.option("--archived", is_flag=True, help="Also of a device that left the inventory and was archived.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def show(
    settings: Settings,
    device: str,
    number: int | None,
    at: datetime | None,
    artifact: str,
    is_original: bool,
    output: Path | None,
    suspect: bool,
    archived: bool,
    as_json: bool,
) -> None:
    """A device's configuration as it was last read, volatile lines removed and secrets hidden.

    Of a backup that is a file and no text, such as an archive, its size and digest are shown; --original is the file.
    """
    if number and at:
        raise UsageError("--revision and --at both say which revision", "leave one of them out")
    if suspect:
        if number or at or is_original:
            raise UsageError("--suspect is one text, not yet a revision", "leave --revision, --at and --original out")
        _show_suspect(settings, device, artifact, output, archived=archived, as_json=as_json)
        return
    if is_original:
        if as_json:
            raise UsageError("--original is bytes, not JSON", "leave --json out")
        _show_original(settings, device, number, at, artifact, output, archived=archived)
        return
    from devicevault.store import open_store
    from devicevault.store.reader import find_device, main_artifact, revision, thinned_after

    with open_store(settings.database_url) as store, store.reading() as session:
        found = find_device(session, device, archived=archived)
        wanted = revision(session, found, artifact=artifact or main_artifact(found), number=number, at=at)
        if at is not None and at > wanted.confirmed_at:
            _warn_of_thinning(wanted, thinned_after(session, wanted), at)
    if as_json:
        print_json(asdict(wanted))
    else:
        write_bytes(wanted.text.encode(), output)


def _warn_of_thinning(shown: Revision, thinned: tuple[int, datetime] | None, at: datetime) -> None:
    if thinned is None:
        return
    count, until = thinned
    pruned = f"{counted(count, 'revision')} between {local_time(shown.confirmed_at)} and {local_time(until)}"
    say(errors(), f"warning: pruned: {pruned}; at {local_time(at)} it may have been one of them", style="yellow")


def _show_suspect(
    settings: Settings, device: str, artifact: str, output: Path | None, *, archived: bool, as_json: bool
) -> None:
    from devicevault.store import open_store
    from devicevault.store.reader import find_device, held

    with open_store(settings.database_url) as store, store.reading() as session:
        wanted = held(session, find_device(session, device, archived=archived), artifact=artifact)
    if as_json:
        values = asdict(wanted)
        del values["sealed"]
        print_json(values)
    else:
        write_bytes(wanted.text.encode(), output)


def _show_original(
    settings: Settings,
    device: str,
    number: int | None,
    at: datetime | None,
    artifact: str,
    output: Path | None,
    *,
    archived: bool,
) -> None:
    from devicevault.cli.opening import opened
    from devicevault.collector.seal import Opener
    from devicevault.outputs.filenames import is_text
    from devicevault.store import open_store
    from devicevault.store.reader import find_device, main_artifact, original

    with open_store(settings.database_url) as store, store.reading() as session:
        found = find_device(session, device, archived=archived)
        kept = original(session, found, artifact=artifact or main_artifact(found), number=number, at=at)
    if output is None and sys.stdout.isatty() and not is_text(kept.media_type):
        raise UsageError(f"{kept.artifact} of {found.name} is a file, nothing for a terminal", "add -o FILE")
    what = f"{kept.artifact} revision {kept.revision} of {found.name}"
    opener = Opener.from_settings(settings)
    write_bytes(opened(opener, kept.sealed, kept.key_id, device=found.name, what=what), output)


def write_bytes(data: bytes, output: Path | None) -> None:
    """Byte for byte into a file or a pipe; on a terminal without its control characters doing their work."""
    if output is not None:
        _write(output, data)
    elif sys.stdout.isatty():
        with paged():
            click.echo(visible(data.decode(errors="replace")), nl=not data.endswith(b"\n"))
    else:
        click.echo(data, nl=False)


def _write(path: Path, data: bytes) -> None:
    from devicevault.privatefile import write_private

    if path.exists() and not path.is_file():  # /dev/stdout, say, in whose place no file may come
        raise UsageError(f"{path} is no file", "name a new one, or leave -o out for standard output")
    try:
        write_private(path, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # instead of the draft beside it
