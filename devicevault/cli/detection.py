"""``devicevault devices detect``: which platform a new device is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from devicevault import names
from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.console import console, errors, print_json, print_table, say, table

if TYPE_CHECKING:
    from devicevault.collector.detect import Detection
    from devicevault.platforms import Platforms
    from devicevault.settings import Settings


@click.command(
    "detect",
    short_help="Find out which platform a device is of.",
    epilog=examples(
        "devicevault devices detect 192.0.2.1 --credential lab",
        "devicevault devices detect 192.0.2.1 --credential lab --group branch --json",
    ),
)
@click.argument("address")
@click.option("--credential", "-c", metavar="NAME", required=True, help="From the credentials file of this host.")
@click.option("--port", type=click.IntRange(1, 65535), default=22, show_default=True)
@click.option(
    "--group", "-g", metavar="GROUP", default=names.DEFAULT_GROUP, help="Go the way of this group, with its settings."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def detect_device(settings: Settings, address: str, credential: str, port: int, group: str, as_json: bool) -> None:
    """Log in to a device and propose its platform.

    Looks at the SSH banner, the greeting and the prompt, and asks what the pages that know this prompt ask for the
    model and version, such as `show version`. Nothing is changed and nothing is stored. The exit code is 1 when no
    page fits.
    """
    from devicevault.cli.reaching import reaching
    from devicevault.collector.detect import detect
    from devicevault.inventory import Device
    from devicevault.platforms import Platforms

    platforms = Platforms.load(settings.platforms_dir)
    device = Device(
        name=address, device_id=address, address=address, platform="", port=port, group=group, credentials=(credential,)
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


def _print(detection: Detection, platforms: Platforms, device: Any) -> None:
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
    if not detection.is_certain:
        say(out, "several fit as well; try them: devicevault platforms try DEVICE --platform NAME", "yellow")
    port = f"\nport = {device.port}" if device.port != 22 else ""
    say(
        out,
        f'\n[devices.NAME]\naddress = "{device.address}"{port}\nplatform = "{detection.guesses[0].platform}"\n'
        f'credential = "{device.credentials[0]}"',
    )
