"""``devicevault hostkeys``: the SSH host keys that devices are known by."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.console import console, print_json, print_table, say, table
from devicevault.errors import UsageError
from devicevault.host_key import described, fingerprint

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from devicevault.settings import Settings
    from devicevault.store.hostkeys import HostKeys

_devices = click.argument("devices", metavar="[DEVICE]...", nargs=-1)
_as_json = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


@click.group()
def hostkeys() -> None:
    """The SSH host keys that devices are known by.

    The key of the first session that succeeded is pinned; another one is refused until it is accepted here.
    """


@hostkeys.command("list", epilog=examples("devicevault hostkeys list --changed", "devicevault hostkeys list -g dmz"))
@click.option("--group", "-g", "groups", metavar="GROUP", multiple=True, help="Only this group; may be given again.")
@click.option("--changed", is_flag=True, help="Only devices that showed another key, which was refused.")
@_as_json
@pass_settings
def list_keys(settings: Settings, groups: tuple[str, ...], changed: bool, as_json: bool) -> None:
    """List each device's pinned key, and the one that was refused since."""
    from devicevault.store import open_store
    from devicevault.store.hostkeys import host_keys

    with open_store(settings.database_url) as store, store.reading() as session:
        found = host_keys(session, groups=groups, refused=changed)
    if as_json:
        print_json([_told(keys) for keys in found])
    elif not found:
        say(console(), "no device showed another host key" if changed else "no device was ever collected")
    else:
        grid = table("Device", "Group", "Pinned", "Since", "Refused since then")
        for keys in found:
            since = local_time(keys.pinned_at, otherwise="")
            grid.add_row(keys.device, keys.group, described(keys.pinned), since, described(keys.refused))
        print_table(grid)


@hostkeys.command(epilog=examples("devicevault hostkeys show core-sw1"))
@click.argument("device")
@_as_json
@pass_settings
def show(settings: Settings, device: str, as_json: bool) -> None:
    """Show DEVICE's keys whole, as they stand in a known_hosts file."""
    from devicevault.store import open_store

    with open_store(settings.database_url) as store, store.reading() as session:
        (keys,) = _named(session, (device,), ())
    if as_json:
        print_json(_told(keys))
        return
    out = console()
    for what, key, at in (("pinned", keys.pinned, keys.pinned_at), ("refused", keys.refused, keys.refused_at)):
        if key:
            out.print(f"{what} {local_time(at)}: {described(key)}", soft_wrap=True)
            out.print(key, soft_wrap=True)
    if not (keys.pinned or keys.refused):
        out.print(f"no host key of {keys.device} is known")


@hostkeys.command(
    short_help="Take the key that was refused as the right one.",
    epilog=examples(
        "devicevault hostkeys accept core-sw1",
        "devicevault hostkeys accept --group branch",
        "devicevault hostkeys accept core-sw1 --fingerprint SHA256:uZQ1SC/y0Nu4l6xr1hGNT33yav7aXVSsThdnp92GIpE",
    ),
)
@_devices
@click.option("--group", "-g", "groups", metavar="GROUP", multiple=True, help="Every device of this group with one.")
@click.option("--fingerprint", "wanted", metavar="SHA256:...", default="", help="Only if it is this key.")
@_as_json
@pass_settings
def accept(settings: Settings, devices: tuple[str, ...], groups: tuple[str, ...], wanted: str, as_json: bool) -> None:
    """Pin the host key that each DEVICE showed last, and that was refused: the device was replaced, or is new.

    Compare the fingerprint with what the device itself says first: devicevault hostkeys list --changed. All of them are
    accepted, or none.
    """
    from devicevault.store import hostkeys as stored
    from devicevault.store import open_store

    with open_store(settings.database_url) as store, store.session() as session:
        found = _named(session, devices, groups)
        named = set(devices)
        for keys in found:
            if not keys.refused and named & {keys.device, keys.device_id}:
                raise UsageError(
                    f"{keys.device} showed no host key that was refused",
                    "collect it, then see: devicevault hostkeys list",
                )
        changed = [keys for keys in found if keys.refused]
        for keys in changed:
            if wanted and fingerprint(keys.refused) != wanted:
                raise UsageError(
                    f"{keys.device} showed {described(keys.refused)}, not {wanted}", "nothing was accepted"
                )
            stored.accept(session, keys.device_id, keys.refused)
    if as_json:
        print_json([{"device": keys.device, "was": keys.pinned, "is": keys.refused} for keys in changed])
        return
    for keys in changed:
        was = f", before: {described(keys.pinned)}" if keys.pinned else ""
        console().print(f"{keys.device}: {described(keys.refused)} is accepted{was}", soft_wrap=True)
    if not changed:
        console().print("no device of these groups showed another host key")


@hostkeys.command(
    short_help="Let the next session pin the key it sees.", epilog=examples("devicevault hostkeys forget core-sw1")
)
@_devices
@click.option("--group", "-g", "groups", metavar="GROUP", multiple=True, help="Every device of this group.")
@pass_settings
def forget(settings: Settings, devices: tuple[str, ...], groups: tuple[str, ...]) -> None:
    """Forget the host key pinned for each DEVICE; the next collection that succeeds pins the one it sees.

    To be preferred is `accept`, which takes one certain key.
    """
    from devicevault.store import hostkeys as stored
    from devicevault.store import open_store
    from devicevault.store.reader import find_device

    with open_store(settings.database_url) as store, store.session() as session:
        found = _named(session, devices, groups)
        for keys in found:
            stored.forget(session, find_device(session, keys.device_id))
    for keys in found:
        console().print(f"{keys.device}: " + ("its host key is forgotten" if keys.pinned else "no host key was pinned"))


def _named(session: Session, devices: tuple[str, ...], groups: tuple[str, ...]) -> list[HostKeys]:
    """The keys of these devices and groups. Raises :class:`UsageError` for a device nobody knows, or without any."""
    from devicevault.store.hostkeys import host_keys
    from devicevault.store.reader import find_device

    if not devices and not groups:
        raise UsageError("no device is named", "name devices, or give --group; see: devicevault hostkeys list")
    return host_keys(session, [find_device(session, name).device_id for name in devices], groups)


def _told(keys: HostKeys) -> dict[str, object]:
    prints = {f"{name}_fingerprint": fingerprint(key) for name, key in _both(keys).items() if key}
    return {**asdict(keys), **prints}


def _both(keys: HostKeys) -> dict[str, str]:
    return {"pinned": keys.pinned, "refused": keys.refused}
