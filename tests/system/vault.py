"""A vault on a machine: its files as an operator would write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.system.machine import Machine

GROUP = "dmz"
PASSWORD = "correct horse"
#: The daemons of one host that collects a group for itself.
DAEMONS = (f"devicevault-worker@{GROUP}", "devicevault-consumer")
#: The consumer first: at its first start it makes the keys that a worker does not start without.
START_ORDER = tuple(reversed(DAEMONS))

READY_WITHIN_S = 60


def write_devices(machine: Machine, ports: Mapping[str, int], platform: str = "cisco_ios") -> None:
    """The inventory and the credentials of simulated devices on the machine's loopback."""
    entries = [
        f'[devices.{name}]\naddress = "127.0.0.1"\nport = {port}\nplatform = "{platform}"\ngroup = "{GROUP}"\n'
        for name, port in ports.items()
    ]
    machine.path("/etc/devicevault/devices.toml").write_text(f"[groups.{GROUP}]\n" + "\n".join(entries))
    credentials = f'[credentials.default]\nusername = "backup"\npassword = "{PASSWORD}"\n'
    machine.path("/etc/devicevault/credentials.toml").write_text(credentials)


def start(machine: Machine, *units: str) -> None:
    """``systemctl start`` one after the other, each of which returns once the unit is ready."""
    for unit in units:
        machine.run("systemctl", "start", unit, within_s=READY_WITHIN_S)


def history(machine: Machine, device: str) -> Any:
    """What ``devicevault history DEVICE --json`` prints."""
    return json.loads(machine.run("devicevault", "history", device, "--json"))
