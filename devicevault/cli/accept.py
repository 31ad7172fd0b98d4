"""``devicevault accept DEVICE``: a configuration that looked wrong is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from devicevault.cli import pass_settings
from devicevault.cli.collect import whoami
from devicevault.cli.console import console, print_json
from devicevault.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from devicevault.settings import Settings
    from devicevault.store.models import Device


@click.command()
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Every suspect device of this collector group.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def accept(settings: Settings, devices: tuple[str, ...], groups: tuple[str, ...], as_json: bool) -> None:
    """Take what is held of suspect devices as their newest good configuration.

    Look at it first: devicevault diff DEVICE --suspect. All of them are accepted, or none.
    """
    from devicevault.store import open_store, suspicion

    if not devices and not groups:
        raise UsageError("no device is named", "name devices, or give --group; see: devicevault status --failed")
    accepted: list[dict[str, object]] = []
    with open_store(settings.database_url) as store, store.session() as session:
        for device in _chosen(session, devices, groups):
            changes = suspicion.accept(session, device, by=whoami())
            numbers = {change.artifact: change.number for change in changes}
            accepted.append({"device": device.name, "revisions": numbers})
            session.flush()
    if as_json:
        print_json(accepted)
        return
    for one in accepted:
        console().print(f"{one['device']}: accepted{_told(one['revisions'])}")
    if not accepted:
        console().print("nothing suspect is held of these groups")


def _chosen(session: Session, names: tuple[str, ...], groups: tuple[str, ...]) -> list[Device]:
    """The devices to accept, in the order their rows are locked in."""
    from devicevault.store.reader import find_device, held, suspect_devices

    found = {device.device_id: device for device in suspect_devices(session, groups)} if groups else {}
    for name in names:
        device = find_device(session, name)
        held(session, device)  # or it says that there is nothing to accept
        found[device.device_id] = device
    return [found[device_id] for device_id in sorted(found)]


def _told(numbers: object) -> str:
    if not isinstance(numbers, dict) or not numbers:
        return ", no different from its newest revision"
    return " as " + ", ".join(f"{artifact} revision {number}" for artifact, number in numbers.items())
