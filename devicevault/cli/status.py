"""``devicevault status``: how each device's last collection ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from devicevault.cli import pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.console import console, print_json, print_table, status_text, table
from devicevault.settings import Settings

if TYPE_CHECKING:
    from devicevault.store.reader import DeviceState, ResultSummary


@click.command()
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Only devices of this collector group.")
@click.option("--failed", is_flag=True, help="Only devices whose last collection was no success.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def status(settings: Settings, devices: tuple[str, ...], groups: tuple[str, ...], failed: bool, as_json: bool) -> None:
    """How each device's last collection ended, and when it was last backed up."""
    from devicevault.store import open_store
    from devicevault.store.reader import device_states, find_device

    with open_store(settings.database_url) as store, store.reading() as session:
        device_ids = [find_device(session, name).device_id for name in devices] if devices else None
        states = device_states(session, device_ids=device_ids, groups=groups)
    if failed:
        states = [state for state in states if state.latest is None or state.latest.status not in ("success", "queued")]
    if as_json:
        print_json([asdict(state) for state in states])
    else:
        _print(states)


def _print(states: Sequence[DeviceState]) -> None:
    if not states:
        console().print("no such device has been collected yet; begin with: devicevault collect --all")
        return
    grid = table("Device", "Group", "Status", "Last backup", "Why")
    grid.columns[3].no_wrap = True
    for state in states:
        latest = state.latest
        grid.add_row(
            state.device,
            state.group,
            status_text(latest.status if latest else "never"),
            local_time(state.last_success_at),
            _why(latest) if latest else "",
        )
    print_table(grid)
    counts = Counter(state.latest.status if state.latest else "never" for state in states)
    devices = "1 device" if len(states) == 1 else f"{len(states)} devices"
    console().print(f"{devices}: " + ", ".join(f"{count} {word}" for word, count in counts.most_common()))


def _why(latest: ResultSummary) -> str:
    """The problem in short; what to do about it is told by ``history``."""
    return f"{latest.error}: {latest.error_message.partition('; ')[0]}" if latest.error else ""
