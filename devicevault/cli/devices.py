"""``devicevault devices``: what the inventory says, and what is wrong in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import console, print_json, print_table, table
from devicevault.cli.detection import detect_device
from devicevault.cli.import_devices import import_devices
from devicevault.cli.sources import accept_source, print_sources, sources_report, tell_of_faults
from devicevault.errors import ConfigurationError, ExitCode, Fault
from devicevault.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devicevault.inventory import Device, Inventory
    from devicevault.settings import Settings


@click.group()
def devices() -> None:
    """List and check the inventory."""


devices.add_command(accept_source)
devices.add_command(detect_device)
devices.add_command(import_devices)


@devices.command(
    "list", epilog=examples("devicevault devices list --group dmz", "devicevault devices list --tag firewall")
)
@click.option(
    "--group", "-g", "groups", metavar="GROUP", multiple=True, help="Only this collector group; may be given again."
)
@click.option(
    "--tag",
    "-t",
    "tags",
    metavar="TAG",
    multiple=True,
    help="Only devices with this tag; with several, with all of them.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def list_devices(settings: Settings, groups: tuple[str, ...], tags: tuple[str, ...], as_json: bool) -> None:
    """List the devices with all they inherit."""
    inventory = _load(settings, None)
    tell_of_faults(inventory)
    found = inventory.matching(groups, tags)
    if as_json:
        print_json([asdict(device) for device in found])
        return
    if not found:
        console().print(f"no devices in {inventory.path}")
        return
    rows = [_cells(device) for device in found]
    # Most inventories have no source and every device enabled, and a column of nothing takes room from the others.
    optional = {"Enabled": not all(device.enabled for device in found)}
    optional |= {heading: any(row[heading] for row in rows) for heading in ("Way", "Source")}
    headings = [heading for heading in rows[0] if optional.get(heading, True)]
    grid = table(*headings)
    for row in rows:
        grid.add_row(*(row[heading] for heading in headings))
    print_table(grid)


@devices.command(short_help="Find every fault in one pass.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def check(settings: Settings, as_json: bool) -> None:
    """Find every fault of the inventory in one pass; the exit code is 78 when there is one.

    Sources are asked anew; without a fault, the code is 75 when one of them gives no good answer.
    """
    from devicevault.credentials import known_credentials

    faults: list[Fault] = []
    error_kind = ConfigurationError
    credentials: tuple[str, ...] | None = None
    inventory: Inventory | None = None
    try:
        credentials = known_credentials(settings.credentials_file)
    except ConfigurationError as error:
        faults += error.faults
    try:
        inventory = _load(settings, credentials, fresh=True)
        faults += [fault for state in inventory.sources for fault in state.faults]
        faults += _faults_of_pages(settings, inventory)
    except ConfigurationError as error:
        error_kind = ConfigurationError if faults else type(error)
        faults += error.faults
    is_away = any(state.trouble for state in inventory.sources) if inventory is not None else False
    if as_json:
        print_json(_report(settings, inventory, credentials, faults))
        faultless = ExitCode.UNAVAILABLE if is_away else ExitCode.DONE
        click.get_current_context().exit(error_kind.exit_code if faults else faultless)
    if inventory is not None:
        if not faults:
            _print_summary(settings, inventory, credentials)
        print_sources(inventory)
    if faults:
        raise error_kind(faults)
    if is_away:
        click.get_current_context().exit(ExitCode.UNAVAILABLE)


def _load(settings: Settings, credentials: tuple[str, ...] | None, *, fresh: bool = False) -> Inventory:
    from devicevault.inventory import load_inventory
    from devicevault.platforms import Platforms

    return load_inventory(settings, Platforms.load(settings.platforms_dir).names(), credentials, fresh=fresh)


def _faults_of_pages(settings: Settings, inventory: Inventory) -> Iterator[Fault]:
    """What a device's page needs of it and it does not say."""
    from devicevault.errors import PluginUnusable
    from devicevault.platforms import Platforms
    from devicevault.platforms.asked import page_for
    from devicevault.tomlfile import dotted

    platforms = Platforms.load(settings.platforms_dir)
    for device in inventory:
        page = platforms.get(device.platform)
        place = f"sources.{device.source}" if device.source else str(inventory.path)
        try:
            page_for(page, device.options)
        except PluginUnusable as error:
            yield Fault(place, error.problem, error.fix, dotted(("devices", device.name, "options")))
        if page.plugin and (device.transport == "telnet" or device.console):
            problem = f"{page.name} is read by a plugin, which knows neither telnet nor console servers"
            yield Fault(place, problem, "give it another platform", dotted(("devices", device.name, "platform")))


def _cells(device: Device) -> dict[str, str]:
    """The device's row, by the headings of its columns."""
    address = f"[{device.address}]" if ":" in device.address and device.port != 22 else device.address
    return {
        "Device": device.name,
        "Address": address if device.port == 22 else f"{address}:{device.port}",
        "Platform": device.platform,
        "Group": device.group,
        "Credential": ", ".join(device.credentials),
        "Way": _way(device),
        "Tags": ", ".join(device.tags),
        "Source": device.source,
        "Enabled": "yes" if device.enabled else "no",
    }


def _way(device: Device) -> str:
    """How it is reached, where that is not what its group's settings say, over SSH."""
    hops = "straight" if device.jump == () else " → ".join(device.jump or ())
    console = f"console {device.console}{device.console_line}" if device.console else ""
    return ", ".join(filter(None, (hops, console, "telnet" if device.transport == "telnet" else "")))


def _report(
    settings: Settings, inventory: Inventory | None, credentials: tuple[str, ...] | None, faults: list[Fault]
) -> dict[str, Any]:
    return {
        "inventory": str(settings.inventory.path),
        "devices": None if inventory is None else len(inventory),
        "credentials_checked": credentials is not None,
        "faults": [asdict(fault) for fault in faults],
        "sources": sources_report(inventory),
    }


def _print_summary(settings: Settings, inventory: Inventory, credentials: tuple[str, ...] | None) -> None:
    out = console()
    by_group = Counter(device.group for device in inventory)
    groups = ", ".join(f"{group} {count}" for group, count in sorted(by_group.items()))
    idle = sum(not device.enabled for device in inventory)
    out.print(f"{inventory.path}: {counted(len(inventory), 'device')}, no fault", soft_wrap=True)
    if groups:
        out.print(f"by group: {groups}", soft_wrap=True)
    if idle:
        out.print(f"not enabled: {idle}")
    if credentials is None:
        reason = "is not on this host or not for this user to read"
        out.print(f"credentials not checked: {settings.credentials_file} {reason}", soft_wrap=True)
