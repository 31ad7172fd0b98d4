"""``devicevault devices import``: the devices of those who move here."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import errors, say
from devicevault.errors import ExitCode, UsageError
from devicevault.names import is_group_name
from devicevault.wording import counted

if TYPE_CHECKING:
    from devicevault.inventory.importing import Gathered, Plan
    from devicevault.settings import Settings

#: Names of devices told of one reason.
_TOLD: Final = 5


@click.command(
    "import",
    short_help="Write devices.toml out of what you had before.",
    epilog=examples(
        "devicevault devices import --from oxidized ~/.config/oxidized/config --output devices.toml",
        "devicevault devices import --from rancid /var/lib/rancid --group default",
        "devicevault devices import --from netbox https://netbox.example.net --token-file ./token",
        "devicevault devices import --from csv switches.csv --platform 'catalyst*=cisco_ios'",
    ),
)
@click.option(
    "--from",
    "kind",
    required=True,
    type=click.Choice(["oxidized", "rancid", "netbox", "csv", "ansible"]),
    help="What PATH_OR_URL belongs to.",
)
@click.argument("place", metavar="PATH_OR_URL")
@click.option("--output", "-o", default="-", metavar="FILE", help="Where to write; standard output otherwise.")
@click.option("--force", is_flag=True, help="Overwrite the file that is there.")
@click.option("--group", "-g", default="", metavar="GROUP", help="Put all into this group; old groups become tags.")
@click.option(
    "--platform",
    "platforms",
    metavar="OLD=NEW",
    multiple=True,
    help="What you call OLD, which may be a pattern, is platform NEW here; may be given again.",
)
@click.option("--columns", default="", metavar="NAMES", help="What the columns hold: name,address,platform,group,-")
@click.option("--delimiter", default="", metavar="SIGN", help="What separates the columns.")
@click.option("--token-file", default="", metavar="FILE", help="NetBox' token; $NETBOX_TOKEN otherwise.")
@pass_settings
def import_devices(
    settings: Settings,
    kind: str,
    place: str,
    output: str,
    force: bool,
    group: str,
    platforms: tuple[str, ...],
    columns: str,
    delimiter: str,
    token_file: str,
) -> None:
    """Write devices.toml out of what you had before.

    PATH_OR_URL is Oxidized's settings file, a router.db, or its REST interface; RANCID's folder or one router.db;
    NetBox' address; a CSV with a heading; an Ansible inventory. No login is carried over. What could not be is told at
    the end, and stands in the file as comments.
    """
    from devicevault.inventory.importing import planned
    from devicevault.inventory.importing.toml import as_toml
    from devicevault.platforms import Platforms

    if group and not is_group_name(group):
        raise UsageError(f"{group!r} can't be a group's name", "small letters and digits, with single - or _ between")
    if output != "-" and not force and os.path.lexists(output):
        raise UsageError(f"{output} is there already", "write to another file, or add --force")
    known = Platforms.load(settings.platforms_dir).names()
    renamed = dict(_pair(text, known) for text in platforms)
    gathered = _gathered(kind, place, tuple(filter(None, columns.split(","))), delimiter, token_file, known)
    plan = planned(gathered, known, group=group, renamed=renamed)
    text = as_toml(plan)
    if output == "-":
        click.echo(text, nl=False)
    else:
        _write(Path(output), text)
    _tell(plan, output)
    if not plan.devices:
        click.get_current_context().exit(ExitCode.DEVICES_FAILED)


def _gathered(
    kind: str, place: str, columns: tuple[str, ...], delimiter: str, token_file: str, known: tuple[str, ...]
) -> Gathered:
    from devicevault.inventory.importing import oxidized, rancid, sources

    match kind:
        case "oxidized" if place.startswith(("http://", "https://")):
            return sources.read_oxidized(place, known)
        case "oxidized":
            return oxidized.read(Path(place), columns, delimiter)
        case "rancid":
            return rancid.read(Path(place))
        case "netbox":
            return sources.read_netbox(place, token_file, known)
        case "ansible":
            return sources.read_ansible(place, known)
        case _:
            return sources.read_csv(place, columns, delimiter, known)


def _pair(text: str, known: tuple[str, ...]) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not old or not equals:
        raise UsageError(f"--platform {text!r} has no OLD=NEW", "write it like --platform 'cat*=cisco_ios'")
    if new not in known:
        from devicevault.nearest import did_you_mean

        raise UsageError(f"unknown platform {new!r}", did_you_mean(new, known) or "see: devicevault platforms list")
    return old, new


def _write(path: Path, text: str) -> None:
    """The whole file or nothing of it; readable for its owner and the group."""
    new = path.with_name(f".{path.name}.new")
    new.touch(mode=0o640)
    new.write_text(text)
    new.replace(path)


def _tell(plan: Plan, output: str) -> None:
    out = errors()
    place = f"written to {output}" if output != "-" else "written"
    say(out, f"{counted(len(plan.devices), 'device')} {place}")
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in plan.left_out:
        reasons[one.reason].append(one.name)
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        say(out, f"left out: {reason}: {', '.join(names[:_TOLD])}{more}", style="yellow")
    for note in plan.notes:
        say(out, f"note: {note}")
