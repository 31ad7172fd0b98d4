"""The sources of the inventory: how they stand, and ``devicevault devices accept``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import console, errors, say
from devicevault.errors import ExitCode, UsageError
from devicevault.nearest import did_you_mean
from devicevault.wording import counted

if TYPE_CHECKING:
    from devicevault.inventory import Inventory, SourceState
    from devicevault.settings import Settings


def age_text(state: SourceState) -> str:
    """How long ago a source answered, in the largest unit that says something."""
    seconds = max(0.0, time.time() - state.answered_at)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def print_sources(inventory: Inventory) -> None:
    """A line for each source; its faults and troubles on stderr."""
    for state in inventory.sources:
        if not state.trouble:
            say(console(), f"source {state.name}: {counted(state.devices, 'device')}, answered {age_text(state)}")
        else:
            fix = f"; {state.fix}" if state.fix else ""
            say(errors(), f"warning: source {state.name}: {state.trouble}{fix}", style="yellow")
        if state.unkept:
            say(errors(), f"warning: source {state.name}: its answer can't be kept: {state.unkept}", style="yellow")


def tell_of_faults(inventory: Inventory) -> None:
    """A line on stderr for each source that says of devices what can't be: they are left out, or as they were."""
    for state in inventory.sources:
        if state.faults:
            faults = counted(len(state.faults), "fault")
            told = f"warning: source {state.name}: {faults} in what it says; see: devicevault devices check"
            say(errors(), told, style="yellow")


def sources_report(inventory: Inventory | None) -> list[dict[str, Any]]:
    """As :func:`print_sources`, for programs."""
    return [
        {
            "source": state.name,
            "devices": state.devices,
            "answered_at": state.answered_at,
            "trouble": state.trouble,
            "fix": state.fix,
        }
        for state in (inventory.sources if inventory is not None else ())
    ]


@click.command(
    "accept",
    short_help="Take a source's much smaller answer as right.",
    epilog=examples("devicevault devices accept cmdb"),
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@pass_settings
def accept_source(settings: Settings, sources: tuple[str, ...]) -> None:
    """Ask these sources now, and take their answers even where many devices are missing.

    Otherwise an answer without devices, or with far fewer than before, leaves the last good one standing.
    """
    from devicevault.inventory import load_inventory
    from devicevault.platforms import Platforms

    platforms = Platforms.load(settings.platforms_dir).names()
    # Asked anew, so that nothing is told of earlier: what it answers now is shown below.
    known = [state.name for state in load_inventory(settings, platforms, fresh=True).sources]
    for name in sources:
        if name not in known:
            fix = did_you_mean(name, known) or f"there are: {', '.join(known) or 'none'}"
            raise UsageError(f"the inventory has no source {name!r}", fix)
    inventory = load_inventory(settings, platforms, fresh=True, accept=sources)
    print_sources(inventory)
    if any(state.trouble for state in inventory.sources if state.name in sources):
        click.get_current_context().exit(ExitCode.UNAVAILABLE)
