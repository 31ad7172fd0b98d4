"""Simulated devices on a machine's loopback.

They are served by this host's Python, from inside the machine's network: nothing is installed on the machine for them.
Run as a program, the module serves the devices it is given and prints their ports.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devicevault.demo.fleet import Fleet, SimulatedDevice
from tests.system.machine import Machine

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def simulated_devices(machine: Machine, devices: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, int]]:
    """Serve these devices, each with the attributes of a :class:`SimulatedDevice`; their ports by name."""
    served_by = (sys.executable, "-m", "tests.system.devices")
    process = subprocess.Popen(
        ["nsenter", "--net", f"--target={machine.leader}", "--", *served_by, json.dumps(dict(devices))],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        if process.stdout is None:
            raise RuntimeError("the devices' output is not read")
        yield json.loads(process.stdout.readline())
        process.terminate()


def serve(devices: Mapping[str, Mapping[str, Any]]) -> None:
    """Serve until the standard input ends."""
    with Fleet([SimulatedDevice(name, **attributes) for name, attributes in devices.items()]) as fleet:
        sys.stdout.write(json.dumps({name: fleet.port(name) for name in devices}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
