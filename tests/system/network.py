"""A cable between two machines, which otherwise reach nothing but themselves."""

from __future__ import annotations

import os
import subprocess
from typing import Final

from tests.system.machine import Machine, MachineError

#: Addresses for documentation: no real network has them.
ADDRESSES: Final = ("192.0.2.1", "192.0.2.2")
INTERFACE: Final = "site0"


def connect(first: Machine, second: Machine) -> None:
    """Give both an interface, with the first and the second of the addresses; they end with the machines."""
    ends = [f"dv{os.getpid()}{end}" for end in "ab"]
    _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for end, machine, address in zip(ends, (first, second), ADDRESSES, strict=True):
        _ip("link", "set", end, "netns", str(machine.leader), "name", INTERFACE)
        machine.run("ip", "address", "add", f"{address}/24", "dev", INTERFACE)
        machine.run("ip", "link", "set", INTERFACE, "up")


def _ip(*arguments: str) -> None:
    ended = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise MachineError(f"ip {' '.join(arguments)}: {ended.stderr}")
