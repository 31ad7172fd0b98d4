"""What the demo plays with: a small company's network, and the files a vault for it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from devicevault import names
from devicevault.demo.configurations import configuration_for
from devicevault.demo.fleet import Fleet, SimulatedDevice

GROUP: Final = "demo"
USERNAME: Final = "backup"
PASSWORD: Final = "Tr4in-Window-Seat"  # noqa: S105 - of simulated devices
ENABLE: Final = "Aisle-4-Ever"

PLATFORM_OF: Final = {
    "access-sw1": "cisco_ios",
    "access-sw2": "aruba_aoscx",
    "access-sw3": "hp_comware",
    "core-sw1": "cisco_nxos",
    "dc-leaf1": "arista_eos",
    "edge-rtr1": "juniper_junos",
    "edge-fw1": "fortinet_fortios",
    "vpn-fw1": "cisco_asa",
    "branch-rtr1": "mikrotik_routeros",
    "branch-rtr2": "vyos",
    "lab-rtr1": "frr",
    "jump-host1": "linux",
}

CHANGED: Final = "access-sw1"
UNREACHABLE: Final = "branch-rtr2"
TRUNCATED: Final = "dc-leaf1"
BUSY: Final = "core-sw1"


#: The secret of the user that is added, as the device shows it.
ADDED_SECRET: Final = "$9$nW3q$h0tGuest0nly"  # noqa: S105 - of a simulated device
#: Who adds it.
AUTHOR: Final = "night-shift"
#: What is looked for on every device afterwards.
SEARCHED: Final = "transport input telnet|privilege 15"


class Edit(NamedTuple):
    """What somebody changes on the device: each old text becomes the new one."""

    old: str
    new: str


EDITS: Final = (
    Edit("no ip domain lookup\n", f"username contractor privilege 15 secret 9 {ADDED_SECRET}\nno ip domain lookup\n"),
    Edit(" transport input ssh\n", " transport input telnet ssh\n"),
)


def simulated_devices() -> list[SimulatedDevice]:
    """A dozen devices, each of another platform."""
    return [
        SimulatedDevice(
            name,
            platform,
            configuration_for(platform, name, size_kb=3),
            username=USERNAME,
            password=PASSWORD,
            enable=ENABLE,
            delay_s=0.05,
        )
        for name, platform in PLATFORM_OF.items()
    ]


def change(fleet: Fleet) -> None:
    """Let somebody edit the configuration of :data:`CHANGED`."""
    device = fleet[CHANGED]
    device.author = AUTHOR
    for edit in EDITS:
        device.configuration = device.configuration.replace(edit.old, edit.new)


def write_files(folder: Path, fleet: Fleet, redis_port: int) -> Path:
    """Write settings, inventory and credentials into ``folder``; returns the settings' path."""
    config = folder / "config.toml"
    config.write_text(
        f"""\
broker_url = "redis://127.0.0.1:{redis_port}/0"
redis_url = "redis://127.0.0.1:{redis_port}/1"
database_url = "sqlite:///{folder}/devicevault.db"
credentials_file = "{folder}/credentials.toml"
platforms_dir = "{folder}/platforms"

[inventory]
path = "{folder}/devices.toml"

[vault]
public_key = "{folder}/vault.pub"
private_key = "{folder}/vault.key"
digest_key = "{folder}/vault.digest"

[worker]
concurrency = {len(fleet)}

[consumer]
block_ms = 200
"""
    )
    (folder / "devices.toml").write_text(_inventory(fleet))
    credentials = folder / "credentials.toml"
    credentials.touch(mode=0o600)
    credentials.write_text(
        f'[credentials.demo]\nusername = "{USERNAME}"\npassword = "{PASSWORD}"\nenable = "{ENABLE}"\n'
        'networks = ["127.0.0.0/8"]\n'
    )
    return config


def _inventory(fleet: Fleet) -> str:
    devices = [
        f'[devices.{device.name}]\nplatform = "{device.platform}"\n'
        f'address = "{fleet.address}"\nport = {fleet.port(device.name)}\n'
        for device in fleet
    ]
    head = f'[defaults]\ncredential = "demo"\ngroup = "{GROUP}"\n\n[groups.{GROUP}]\n\n'
    return head + "\n".join(devices)


#: The lock that makes a worker skip :data:`BUSY`: another task seems to be in the middle of it.
BUSY_LOCK: Final = names.lock_for(BUSY)
