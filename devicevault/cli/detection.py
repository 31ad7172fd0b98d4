"""``devicevault devices detect``: which platform a new device is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from devicevault import names
from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.console import console, errors, print_json, print_table, say, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devicevault.collector.detect import Detection
    from devicevault.inventory import Device
    from devicevault.platforms import Platform, Platforms
    from devicevault.settings import Settings


SSH_PORT: Final = 22
TELNET_PORT: Final = 23


@click.command(
    "detect",
    short_help="Find out which platform a device is of.",
    epilog=examples(
        "devicevault devices detect 192.0.2.1 --credential lab",
        "devicevault devices detect 2001:db8::1 --credential lab --group branch --json",
        "devicevault devices detect 192.0.2.7 --credential lab --telnet",
    ),
)
@click.argument("address")
@click.option("--credential", "-c", metavar="NAME", required=True, help="From the credentials file of this host.")
@click.option("--port", type=click.IntRange(1, 65535), help="Another than 22, or 23 for telnet.")
@click.option("--group", "-g", metavar="GROUP", default="", help="Go the way of this group, with its settings.")
@click.option("--telnet", is_flag=True, help="Over telnet: everybody on the way can read the password.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def detect_device(
    settings: Settings, address: str, credential: str, port: int | None, group: str, telnet: bool, as_json: bool
) -> None:
    """Log in to a device and propose its platform.

    Looks at the SSH banner, the greeting and the prompt, and asks what the pages that know this prompt ask for the
    model and version, such as `show version`. Nothing is changed and nothing is stored. The exit code is 1 when no
    page fits.
    """
    from devicevault.cli.reaching import reaching
    from devicevault.collector.detect import detect
    from devicevault.credentials import CredentialStore
    from devicevault.inventory.newcomer import newcomer
    from devicevault.platforms import Platforms

    platforms = Platforms.load(settings.platforms_dir)
    credentials = CredentialStore.load(settings.credentials_file).names()
    own: dict[str, Any] = {"transport": "telnet", "port": port or TELNET_PORT} if telnet else {}
    if port:
        own["port"] = port
    device = newcomer(
        settings, platforms.names(), credentials, address=address, credential=credential, group=group, **own
    )
    with errors().status(f"asking {address}"), reaching(device, platforms, settings) as way:
        detection = detect(way.command_line, platforms)
    if as_json:
        print_json(_report(detection))
    else:
        _print(detection, platforms, device)
    finish(failed=not detection.guesses)


def _report(detection: Detection) -> dict[str, Any]:
    return {
        "banner": detection.banner,
        "prompt": detection.prompt,
        "asked": detection.asked,
        "certain": detection.is_certain,
        "platforms": [
            {"platform": guess.platform, "weight": guess.weight, "facts": guess.facts} for guess in detection.guesses
        ],
    }


def _print(detection: Detection, platforms: Platforms, device: Device) -> None:
    out = console()
    say(out, f"prompt {detection.prompt}, banner {detection.banner or 'none'}")
    say(out, f"asked: {', '.join(detection.asked) or 'nothing, for no page knows this prompt'}")
    if not detection.guesses:
        say(out, "no page fits; see docs/platform-pages.md for a page of your own", "bold red")
        return
    grid = table("Platform", "Devices", "Weight", "Model", "Version", "Serial")
    for guess in detection.guesses:
        title = platforms.get(guess.platform).title
        facts = guess.facts
        grid.add_row(guess.platform, title, str(guess.weight), facts.model, facts.version, facts.serial)
    print_table(grid)
    best = platforms.get(detection.guesses[0].platform)
    if not detection.is_certain:
        say(out, "several fit as well; try them: devicevault platforms try DEVICE --platform NAME", "yellow")
    others = [page.name for page in platforms if page.plugin and _subject(page) == _subject(best)]
    if others:
        say(out, f"such a device may also be read without a command line (docs/plugins.md): {', '.join(others)}")
    say(out, "\n" + "\n".join(_table(device, best.name)))


def _subject(page: Platform) -> str:
    """The device, in a title that goes on with how it is read."""
    return page.title.partition(",")[0].partition(" (")[0]


def _table(device: Device, platform: str) -> Iterator[str]:
    """What belongs into the inventory."""
    yield "[devices.NAME]"
    yield f'address = "{device.address}"'
    if device.transport == "telnet":
        yield 'transport = "telnet"'
    if device.port != (TELNET_PORT if device.transport == "telnet" else SSH_PORT):
        yield f"port = {device.port}"
    yield f'platform = "{platform}"'
    if device.group != names.DEFAULT_GROUP:
        yield f'group = "{device.group}"'
    yield f'credential = "{device.credentials[0]}"'
