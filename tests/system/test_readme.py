"""The README, word by word: from the package to the first backup, and a doctor who finds no fault (exit code 0)."""

from __future__ import annotations

import re
from pathlib import Path

from tests.system.devices import simulated_devices
from tests.system.machine import Machine

README = Path(__file__).parents[2] / "README.md"
ADDRESS = 'address = "192.0.2.1"\n'


def typed(section: str) -> list[str]:
    """What is to be typed, block by block, under a heading."""
    _, _, rest = README.read_text().partition(f"## {section}\n")
    text, _, _ = rest.partition("\n## ")
    return re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_leads_from_the_package_to_the_first_backup(machine: Machine, package: Path) -> None:
    build, files, daemons = typed("Install it")
    assert build == "make deb\napt install ./dist/devicevault_*_amd64.deb\n"
    machine.path("/root/dist").mkdir()
    machine.path(f"/root/dist/{package.name}").write_bytes(package.read_bytes())
    machine.run("sh", "-ec", "cd /root; " + build.removeprefix("make deb\n").replace("apt", "apt-get --yes"))
    with simulated_devices(machine, {"core-sw1": {"platform": "cisco_ios"}}) as ports:
        assert ADDRESS in files
        machine.run("sh", "-ec", files.replace(ADDRESS, f'address = "127.0.0.1"\nport = {ports["core-sw1"]}\n'))
        said = machine.run("sh", "-ec", daemons)
    assert "1 device: 1 success" in said
    assert "hostname core-sw1" in said
    assert "core-sw1: success" in said
