"""``devicevault status``: how each device's last collection ended, and which are not safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.clock import Duration, local_time
from devicevault.cli.console import console, print_json, print_table, status_text, table
from devicevault.messages import Status
from devicevault.settings import Settings

if TYPE_CHECKING:
    from devicevault.cli.standing import Standing


@click.command(
    epilog=examples(
        "devicevault status",
        "devicevault status --failed",
        "devicevault status --stale 26h     for monitoring: the exit code is 1 when a device is not safe",
    )
)
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Only devices of this collector group.")
@click.option(
    "--failed",
    is_flag=True,
    help="Only devices that need a look: failed since their last good backup, suspect, or without one.",
)
@click.option(
    "--stale",
    "age",
    type=Duration(),
    metavar="AGE",
    help="Only devices whose last good backup is older than AGE, such as 26h; the exit code is 1 when there is one.",
)
@click.option("--archived", is_flag=True, help="Also devices that left the inventory and were archived.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def status(
    settings: Settings,
    devices: tuple[str, ...],
    groups: tuple[str, ...],
    failed: bool,
    age: timedelta | None,
    archived: bool,
    as_json: bool,
) -> None:
    """How each device's last collection ended, and when it was last backed up."""
    from devicevault.cli.standing import chosen, known_states, readable_inventory, standings

    states = known_states(settings)
    inventory = readable_inventory(settings, "devices never asked for are not shown")
    found = chosen(standings(states, inventory), devices, groups)
    if not archived:
        found = [one for one in found if not one.is_archived or one.is_of(devices)]
    if failed:
        found = [one for one in found if one.needs_a_look]
    if age is not None:
        now = datetime.now(UTC)
        found = [one for one in found if one.is_stale(age, now)]
    if as_json:
        print_json([{**asdict(one.state), "in_inventory": one.in_inventory} for one in found])
    else:
        _print(found, none_left=_none_left(failed=failed, age=age))
    finish(failed=age is not None and bool(found))


def _none_left(*, failed: bool, age: timedelta | None) -> str:
    if age is not None:
        return "every device has a good backup that is young enough"
    if failed:
        return "no device needs a look"
    return "no such device has been collected yet; begin with: devicevault collect --all"


def _print(found: Sequence[Standing], *, none_left: str) -> None:
    if not found:
        console().print(none_left)
        return
    grid = table("Device", "Group", "Status", "Last backup", "Failures", "Why")
    grid.columns[3].no_wrap = True
    for one in found:
        grid.add_row(
            one.state.device,
            one.state.group,
            status_text(one.status),
            local_time(one.state.last_success_at),
            str(one.state.failures or ""),
            _why(one),
        )
    print_table(grid)
    counts = Counter(one.status for one in found)
    devices = "1 device" if len(found) == 1 else f"{len(found)} devices"
    console().print(f"{devices}: " + ", ".join(f"{count} {word}" for word, count in counts.most_common()))


def _why(one: Standing) -> str:
    """The problem in short; what to do about it is told by ``history``."""
    latest = one.state.latest
    parts: list[str] = []
    if latest and latest.status != Status.SUCCESS:
        problem = latest.error_message.partition("; ")[0]
        parts.append(f"{latest.error}: {problem}" if latest.error else problem)
    if one.state.suspect_at is not None and one.status != Status.SUSPECT:
        parts.append(f"a suspect configuration of {local_time(one.state.suspect_at)} is held")
    if one.is_archived:
        parts.append(f"archived {local_time(one.state.archived_at)}")
    elif one.in_inventory is False:
        parts.append("not in the inventory, or not enabled")
    return "; ".join(filter(None, parts))
