"""``devicevault export DIR``: one file per device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.clock import Moment
from devicevault.cli.console import console, errors, print_json, say
from devicevault.errors import UsageError
from devicevault.settings import Settings

if TYPE_CHECKING:
    from devicevault.store import Store
    from devicevault.store.states import State

#: Normalised texts hold no secret, opened originals all of them.
TEXT_MODE: Final = 0o640
ORIGINAL_MODE: Final = 0o600


class File(NamedTuple):
    """What goes into one file."""

    state: State
    path: PurePosixPath
    content: bytes
    mode: int


@click.command(
    epilog=examples(
        "devicevault export /tmp/configurations",
        "devicevault export --group dmz --at 2026-05-04 /tmp/dmz",
        "devicevault export --originals /media/usb     sealed: devicevault open opens them, with the key",
        "devicevault export --open /root/restore core-sw1     what restores a device, secrets and all",
    )
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Only devices of this collector group.")
@click.option("--platform", "platforms", metavar="PLATFORM", multiple=True, help="Only devices of this platform.")
@click.option("--at", type=Moment(whole_day=True), metavar="DATE", help="As it was then: 2026-05-04, or 7d ago.")
@click.option("--originals", is_flag=True, help="What devices really sent, sealed as it is kept.")
@click.option("--open", "is_opened", is_flag=True, help="What devices really sent, opened with vault.key: as root.")
@click.option("--archived", is_flag=True, help="Also devices that left the inventory and were archived.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def export(
    settings: Settings,
    directory: Path,
    devices: tuple[str, ...],
    groups: tuple[str, ...],
    platforms: tuple[str, ...],
    at: datetime | None,
    originals: bool,
    is_opened: bool,
    archived: bool,
    as_json: bool,
) -> None:
    """Write the newest configuration of every device into DIR, as GROUP/DEVICE.cfg, or those of some devices.

    Files that are there already are replaced. A device's other artifacts go beside it, as DEVICE+ARTIFACT.
    """
    from devicevault.store import open_store
    from devicevault.store.reader import check_groups, find_device
    from devicevault.store.states import Chosen, states

    if originals and is_opened:
        raise UsageError("--originals leaves them sealed, --open opens them", "leave one of them out")
    written: list[dict[str, object]] = []
    with open_store(settings.database_url) as store:
        with store.reading() as session:
            check_groups(session, groups)
            ids = [find_device(session, name, archived=archived).device_id for name in devices]
            found = states(session, Chosen(ids, groups, platforms, archived=archived), at=at)
        if originals or is_opened:
            files = _originals(settings, store, found, is_opened=is_opened)
        else:
            files = _texts(store, found)
        for file in files:
            _write(directory, file)
            written.append(_described(file))
    if as_json:
        print_json(written)
    else:
        count = len({one["device_id"] for one in written})
        of = "1 device" if count == 1 else f"{count} devices"
        say(console(), f"{len(written)} file{'s' * (len(written) != 1)} of {of} in {directory}")
    if not found:
        say(
            errors(), "there is nothing to export: no backup was made by then, or none fits the options", style="yellow"
        )
        finish(failed=True)


def _texts(store: Store, states: Sequence[State]) -> Iterator[File]:
    from devicevault.outputs.filenames import is_text
    from devicevault.store.search import texts_of

    texts = [state for state in states if is_text(state.media_type)]
    if len(texts) < len(states):
        count = len(states) - len(texts)
        are, them = ("artifact is a file", "it") if count == 1 else ("artifacts are files", "them")
        say(errors(), f"{count} {are}, kept sealed only: add --originals or --open for {them}", style="yellow")
    paths = _paths(texts)
    for state, text in texts_of(store, texts):
        yield File(state, paths[state.revision_id], text, TEXT_MODE)


def _originals(settings: Settings, store: Store, states: Sequence[State], *, is_opened: bool) -> Iterator[File]:
    from devicevault.cli.opening import opened
    from devicevault.collector.seal import Opener
    from devicevault.sealed_file import ENDING, About, packed
    from devicevault.store.originals import originals_of

    paths = _paths(states)
    by_revision = {state.revision_id: state for state in states}
    opener = Opener.from_settings(settings)
    count = 0
    for revision_id, key_id, sealed in originals_of(store, sorted(by_revision)):
        state, path = by_revision[revision_id], paths[revision_id]
        count += 1
        if is_opened:
            what = f"{state.artifact} revision {state.number} of {state.device}, to export it"
            content = opened(opener, sealed, key_id, device=state.device, what=what)
        else:
            path = path.with_name(path.name + ENDING)
            content = packed(About(**_about(state), key_id=key_id), sealed)
        yield File(state, path, content, ORIGINAL_MODE)
    if count < len(states):
        say(errors(), f"{len(states) - count} artifacts have no original", style="yellow")


def _about(state: State) -> dict[str, str | int | datetime]:
    names = ("device", "device_id", "group", "platform", "artifact", "media_type", "collected_at")
    return {name: getattr(state, name) for name in names} | {"revision": state.number}


def _paths(states: Sequence[State]) -> dict[int, PurePosixPath]:
    """Where each goes, by revision; two devices of one name are told apart by their ids."""
    from devicevault.outputs.filenames import path_of

    taken: dict[PurePosixPath, str] = {}
    paths: dict[int, PurePosixPath] = {}
    for state in states:
        of_device = partial(
            path_of, state.group, artifact=state.artifact, media_type=state.media_type, is_main=state.is_main
        )
        path = of_device(state.device)
        if taken.setdefault(path, state.device_id) != state.device_id:
            path = of_device(f"{state.device} {state.device_id}")
        paths[state.revision_id] = path
    return paths


def _write(directory: Path, file: File) -> None:
    from devicevault.privatefile import write_private

    path = directory / file.path
    # Who may read the files may list them.
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if file.mode == ORIGINAL_MODE else 0o750)
    write_private(path, file.content, file.mode)


def _described(file: File) -> dict[str, object]:
    return {**_about(file.state), "file": str(file.path)}
