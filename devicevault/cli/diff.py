"""``devicevault diff [DEVICE [A [B]]]``: what changed between two revisions, or on many devices since a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from click import IntRange

from devicevault.cli import examples, pass_settings
from devicevault.cli.clock import Moment, local_time
from devicevault.cli.console import console, print_json
from devicevault.cli.difference import print_side_by_side, print_unified
from devicevault.cli.pager import paged
from devicevault.errors import UsageError
from devicevault.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from devicevault.store.changes import Changed
    from devicevault.store.models import Device
    from devicevault.store.reader import Held, Revision
    from devicevault.store.states import State


@dataclass(frozen=True)
class Sides:
    """Two texts to compare, under the names they are shown with."""

    old: str = field(repr=False)
    new: str = field(repr=False)
    old_name: str
    new_name: str
    #: What is said where no line differs.
    nothing: str
    #: What ``--json`` tells besides the lines.
    known: dict[str, Any]

    def lines(self) -> list[str]:
        from devicevault.store.difference import unified_diff

        return list(unified_diff(self.old, self.new, self.old_name, self.new_name))

    def print(self, *, side_by_side: bool) -> None:
        lines = self.lines()
        if not lines:
            console().print(self.nothing, soft_wrap=True)
        elif side_by_side:
            print_side_by_side(self.old, self.new, self.old_name, self.new_name)
        else:
            print_unified(lines)


@click.command(
    epilog=examples(
        "devicevault diff core-sw1         the last change",
        "devicevault diff core-sw1 3       everything since revision 3",
        "devicevault diff core-sw1 3 5     from revision 3 to revision 5",
        "devicevault diff core-sw1 --side-by-side",
        "devicevault diff core-sw1 --startup     what was changed and never saved",
        "devicevault diff --since 24h --group dmz     what changed on any device of the group",
    )
)
@click.argument("device", required=False)
@click.argument("older", metavar="[A]", type=IntRange(min=1), required=False)
@click.argument("newer", metavar="[B]", type=IntRange(min=1), required=False)
@click.option("--since", type=Moment(), metavar="DATE", help="From what it was then: 2026-05-04, or 24h ago.")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="With --since: only devices of this group.")
@click.option("--artifact", metavar="NAME", default="", help="Which of the device's texts; the first one otherwise.")
@click.option("--suspect", is_flag=True, help="From the newest to the suspect one that is held.")
@click.option("--startup", is_flag=True, help="From what it starts with to what it runs: what was never saved.")
@click.option("-y", "--side-by-side", is_flag=True, help="Old and new in two columns.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def diff(
    settings: Settings,
    device: str | None,
    older: int | None,
    newer: int | None,
    since: datetime | None,
    groups: tuple[str, ...],
    artifact: str,
    suspect: bool,
    startup: bool,
    side_by_side: bool,
    as_json: bool,
) -> None:
    """What changed from revision A to B: from the last but one to the newest; with A alone, from A to the newest.

    With --since, what changed on every device, or on those of a group, from that time until now.
    """
    from devicevault.store import open_store

    _check_options(device, older, since, groups, suspect=suspect)
    if startup and (older or suspect or since is not None or artifact):
        raise UsageError("--startup says by itself what is compared", "leave revisions and the other options out")
    with open_store(settings.database_url) as store, store.reading() as session:
        if since is not None:
            _print_all(list(_since(session, device, groups, since)), side_by_side=side_by_side, as_json=as_json)
            return
        if startup:
            found = _unsaved(session, device)
        elif suspect:
            found = _suspect(session, device, artifact)
        else:
            found = _revisions(session, device, artifact, older, newer)
    if as_json:
        print_json({**found.known, "diff": found.lines() if found.old_name else []})
    else:
        with paged():
            found.print(side_by_side=side_by_side)


def _check_options(
    device: str | None, older: int | None, since: datetime | None, groups: tuple[str, ...], *, suspect: bool
) -> None:
    if since is None and not device:
        raise UsageError("no device is named", "name one, or ask for all that changed with --since 24h")
    if since is None and groups:
        raise UsageError("--group goes with --since", "add --since 24h, or leave --group out")
    if older and (suspect or since is not None):
        raise UsageError(
            "A and B are revisions; --suspect and --since say by themselves what is compared", "leave them out"
        )


def _print_all(found: list[Sides], *, side_by_side: bool, as_json: bool) -> None:
    if as_json:
        print_json([{**one.known, "diff": one.lines()} for one in found])
        return
    if not found:
        console().print("nothing changed")
        return
    with paged():
        for index, one in enumerate(found):
            if index:
                console().print()
            one.print(side_by_side=side_by_side)


def _revisions(session: Session, name: str | None, artifact: str, older: int | None, newer: int | None) -> Sides:
    from devicevault.store.reader import find_device, main_artifact

    device = find_device(session, str(name))
    before, after = _pair(session, device, artifact or main_artifact(device), older, newer)
    known = {"from": _known(before), "to": _known(after)}
    if before is None:
        only = f"{after.device} has one revision only, found {local_time(after.collected_at)}"
        return Sides(after.text, after.text, "", "", only, known)
    return Sides(before.text, after.text, _heading(before), _heading(after), _why_nothing_shows(before, after), known)


def _suspect(session: Session, name: str | None, artifact: str) -> Sides:
    from devicevault.store.reader import find_device, held, revision

    device = find_device(session, str(name))
    after: Held = held(session, device, artifact=artifact)
    before = revision(session, device, artifact=after.artifact)
    heading = f"{after.device} {after.artifact} suspect, {local_time(after.collected_at)}"
    return Sides(before.text, after.text, _heading(before), heading, "no line differs", {"from": _known(before)})


def _unsaved(session: Session, name: str | None) -> Sides:
    from devicevault.store.reader import find_device, main_artifact, revision

    device = find_device(session, str(name))
    before = revision(session, device, artifact="startup")
    after = revision(session, device, artifact=main_artifact(device))
    known = {"from": _known(before), "to": _known(after)}
    nothing = f"{after.device} starts with what it runs"
    return Sides(before.text, after.text, _heading(before), _heading(after), nothing, known)


def _since(session: Session, name: str | None, groups: tuple[str, ...], since: datetime) -> Iterator[Sides]:
    from devicevault.store.changes import changes_since
    from devicevault.store.reader import check_groups, find_device
    from devicevault.store.states import Chosen

    check_groups(session, groups)
    devices = (find_device(session, name).device_id,) if name else ()
    for changed in changes_since(session, Chosen(devices=devices, groups=groups), since):
        yield _of_change(changed)


def _of_change(changed: Changed) -> Sides:
    before, after = changed.before, changed.after
    known = {"from": asdict(before) if before else None, "to": asdict(after)}
    new_name = _heading(after)
    if before is None:
        lines = len(changed.new.splitlines())
        first = f"{new_name}: first backed up since then, {lines} lines"
        return Sides(changed.new, changed.new, new_name, new_name, first, known)
    return Sides(
        changed.old, changed.new, _heading(before), new_name, f"{new_name}: a hidden secret was changed", known
    )


def _pair(
    session: Session, device: Device, artifact: str, older: int | None, newer: int | None
) -> tuple[Revision | None, Revision]:
    """The two revisions to compare; no older one where there is only the first."""
    from devicevault.store.reader import revision, revision_before

    after = revision(session, device, artifact=artifact, number=newer)
    if older:
        return revision(session, device, artifact=artifact, number=older), after
    return revision_before(session, device, artifact=artifact, number=after.number), after


def _why_nothing_shows(before: Revision, after: Revision) -> str:
    if before.number == after.number:
        words = "these are one and the same revision"
    elif after.reason == "secret":
        words = "no line that is shown differs: a hidden secret was changed"
    else:
        words = "no line differs"
    return f"{after.device}, revisions {before.number} and {after.number}: {words}"


def _heading(revision: Revision | State) -> str:
    return f"{revision.device} {revision.artifact} revision {revision.number}, {local_time(revision.collected_at)}"


def _known(revision: Revision | None) -> dict[str, Any] | None:
    if revision is None:
        return None
    values = asdict(revision)
    del values["text"]
    return values
