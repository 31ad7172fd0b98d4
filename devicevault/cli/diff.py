"""``devicevault diff DEVICE [A [B]]``: what changed between two revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click import IntRange

from devicevault.cli import examples, pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.console import console, print_json
from devicevault.errors import UsageError
from devicevault.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from devicevault.store.models import Device
    from devicevault.store.reader import Revision

STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command(
    epilog=examples(
        "devicevault diff core-sw1         the last change",
        "devicevault diff core-sw1 3       everything since revision 3",
        "devicevault diff core-sw1 3 5     from revision 3 to revision 5",
    )
)
@click.argument("device")
@click.argument("older", metavar="[A]", type=IntRange(min=1), required=False)
@click.argument("newer", metavar="[B]", type=IntRange(min=1), required=False)
@click.option("--artifact", metavar="NAME", default="", help="Which of the device's texts; the first one otherwise.")
@click.option("--suspect", is_flag=True, help="From the newest to the suspect one that is held.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def diff(
    settings: Settings,
    device: str,
    older: int | None,
    newer: int | None,
    artifact: str,
    suspect: bool,
    as_json: bool,
) -> None:
    """What changed from revision A to B: from the last but one to the newest; with A alone, from A to the newest."""
    if suspect:
        if older:
            raise UsageError("--suspect compares with the newest revision", "leave A and B out")
        _diff_suspect(settings, device, artifact, as_json=as_json)
        return
    from devicevault.store import open_store
    from devicevault.store.difference import unified_diff
    from devicevault.store.reader import find_device, main_artifact

    with open_store(settings.database_url) as store, store.reading() as session:
        found = find_device(session, device)
        before, after = _pair(session, found, artifact or main_artifact(session, found), older, newer)
    lines = list(unified_diff(before.text, after.text, _heading(before), _heading(after))) if before else []
    if as_json:
        print_json({"from": _known(before), "to": _known(after), "diff": lines})
    elif before is None:
        console().print(f"{after.device} has one revision only, found {local_time(after.collected_at)}")
    elif lines:
        _print(lines)
    else:
        _tell_why_nothing_shows(before, after)


def _diff_suspect(settings: Settings, device: str, artifact: str, *, as_json: bool) -> None:
    from devicevault.store import open_store
    from devicevault.store.difference import unified_diff
    from devicevault.store.reader import find_device, held, revision

    with open_store(settings.database_url) as store, store.reading() as session:
        found = find_device(session, device)
        after = held(session, found, artifact=artifact)
        before = revision(session, found, artifact=after.artifact)
    heading = f"{after.device} {after.artifact} suspect, {local_time(after.collected_at)}"
    lines = list(unified_diff(before.text, after.text, _heading(before), heading))
    if as_json:
        print_json({"from": _known(before), "diff": lines})
    else:
        _print(lines)


def _pair(
    session: Session, device: Device, artifact: str, older: int | None, newer: int | None
) -> tuple[Revision | None, Revision]:
    """The two revisions to compare; no older one where there is only the first."""
    from devicevault.store.reader import revision

    after = revision(session, device, artifact=artifact, number=newer)
    number = older or after.number - 1
    return (revision(session, device, artifact=artifact, number=number) if number else None), after


def _print(lines: list[str]) -> None:
    out = console()
    for index, line in enumerate(lines):
        out.print(line, style="bold" if index < 2 else STYLES.get(line[:1], ""), soft_wrap=True)


def _tell_why_nothing_shows(before: Revision, after: Revision) -> None:
    if before.number == after.number:
        words = "these are one and the same revision"
    elif after.reason == "secret":
        words = "no line that is shown differs: a hidden secret was changed"
    else:
        words = "no line differs"
    console().print(f"{after.device}, revisions {before.number} and {after.number}: {words}")


def _heading(revision: Revision) -> str:
    return f"{revision.device} {revision.artifact} revision {revision.number}, {local_time(revision.collected_at)}"


def _known(revision: Revision | None) -> dict[str, Any] | None:
    if revision is None:
        return None
    from dataclasses import asdict

    values = asdict(revision)
    del values["text"]
    return values
