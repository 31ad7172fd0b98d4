"""``devicevault search PATTERN``: which lines of all configurations match."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.clock import Moment
from devicevault.cli.console import console, print_json, say
from devicevault.cli.pager import paged
from devicevault.errors import UsageError
from devicevault.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devicevault.store.matching import Matcher
    from devicevault.store.search import Found
    from devicevault.store.states import State


@click.command(
    epilog=examples(
        "devicevault search 'snmp-server community'",
        "devicevault search -i 'telnet' --group dmz",
        "devicevault search '^ntp server' --platform cisco_ios --at 2026-05-04",
        "devicevault search --history 'username contractor'     in every revision, not the newest only",
        "devicevault search --originals     with the vault's key: asks for a secret, and tells where it is",
    )
)
@click.argument("pattern", required=False)
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Only devices of this collector group.")
@click.option("--platform", "platforms", metavar="PLATFORM", multiple=True, help="Only devices of this platform.")
@click.option("--device", "devices", metavar="DEVICE", multiple=True, help="Only this device.")
@click.option("--at", type=Moment(whole_day=True), metavar="DATE", help="As it was then: 2026-05-04, or 7d ago.")
@click.option("--history", "every_revision", is_flag=True, help="Every revision instead of the newest.")
@click.option("-i", "--ignore-case", is_flag=True, help="Capital and small letters are the same.")
@click.option("-F", "--fixed", is_flag=True, help="PATTERN is the text itself, not a regular expression.")
@click.option(
    "--originals", is_flag=True, help="What devices really sent, secrets and all; opened with vault.key, as root."
)
@click.option("--archived", is_flag=True, help="Also devices that left the inventory and were archived.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def search(
    settings: Settings,
    pattern: str | None,
    groups: tuple[str, ...],
    platforms: tuple[str, ...],
    devices: tuple[str, ...],
    at: datetime | None,
    every_revision: bool,
    ignore_case: bool,
    fixed: bool,
    originals: bool,
    archived: bool,
    as_json: bool,
) -> None:
    """Tell the lines that match a regular expression, as DEVICE:LINE:TEXT; the exit code is 1 when none does.

    An artifact other than a device's main one is DEVICE/ARTIFACT, a revision of the past DEVICE@NUMBER.
    """
    from devicevault.store import open_store
    from devicevault.store.matching import Matcher
    from devicevault.store.reader import check_groups, find_device
    from devicevault.store.search import search as look_through
    from devicevault.store.states import Chosen, states

    wanted = _wanted(pattern, originals=originals)
    matcher = Matcher.compile(wanted, ignore_case=ignore_case, fixed=fixed or (originals and pattern is None))
    with open_store(settings.database_url) as store:
        with store.reading() as session:
            check_groups(session, groups)
            ids = [find_device(session, name, archived=archived).device_id for name in devices]
            chosen = Chosen(ids, groups, platforms, archived=archived)
            found = states(session, chosen, at=at, every_revision=every_revision)
        if originals:
            from devicevault.cli.originals import search_originals

            matches = search_originals(settings, store, found, matcher, is_secret=pattern is None)
        else:
            matches = list(look_through(store, found, matcher))
    is_past = every_revision or at is not None
    if as_json:
        print_json([_described(one) for one in matches])
    else:
        _print(matches, matcher, is_past=is_past, is_redacted=originals)
    _warn_of_nothing(found)
    finish(failed=not matches)


def _wanted(pattern: str | None, *, originals: bool) -> str:
    """What to look for; a secret is asked for, so that it stands neither in ``ps`` nor in the shell's history."""
    if pattern:
        return pattern
    if not originals:
        raise UsageError(
            "no pattern is given", "say what to look for, such as: devicevault search 'snmp-server community'"
        )
    from devicevault.cli.secret import ask_secret

    return ask_secret("Text to look for")


def _print(matches: Sequence[Found], matcher: Matcher, *, is_past: bool, is_redacted: bool) -> None:
    from rich.text import Text

    from devicevault.cli.console import visible

    with paged():
        out = console()
        for one in matches:
            name = _name(one.state, is_past=is_past)
            for number, line in one.lines:
                told = Text.assemble((visible(name), "magenta"), ":", (str(number), "green"), ":")
                text = Text(visible(line))
                if not is_redacted:
                    text.highlight_regex(matcher.pattern, "bold red")
                out.print(told + text, soft_wrap=True)


def _name(state: State, *, is_past: bool) -> str:
    name = state.device if state.is_main else f"{state.device}/{state.artifact}"
    return f"{name}@{state.number}" if is_past else name


def _described(one: Found) -> dict[str, object]:
    state = asdict(one.state)
    del state["revision_id"], state["config_id"]
    return {**state, "lines": [{"number": number, "text": line} for number, line in one.lines]}


def _warn_of_nothing(looked_through: Sequence[State]) -> None:
    if not looked_through:
        from devicevault.cli.console import errors

        say(errors(), "there is no configuration to look through: none was backed up, or none fits the options")
