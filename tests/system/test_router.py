"""A real router: FRRouting, reached over the machine's own SSH server."""

from __future__ import annotations

from pathlib import Path

from tests.system import vault
from tests.system.machine import Machine


def test_a_frr_router_is_backed_up_whole(machine: Machine, package: Path) -> None:
    machine.install(package)
    machine.run("useradd", "--groups", "frrvty", "--shell", "/usr/bin/vtysh", "backup-user")
    machine.run("chpasswd", stdin=f"backup-user:{vault.PASSWORD}\n")
    machine.run("vtysh", "-c", "configure terminal", "-c", "ip route 192.0.2.0/24 Null0")
    vault.write_devices(machine, {"edge-r1": 22}, platform="frr")
    credentials = machine.path("/etc/devicevault/credentials.toml")
    credentials.write_text(credentials.read_text().replace('"backup"', '"backup-user"'))
    vault.start(machine, *vault.START_ORDER)
    before = machine.run("vtysh", "-c", "show running-config")
    machine.run("devicevault", "collect", "edge-r1", "--wait", "--timeout", "60")
    shown = machine.run("devicevault", "show", "edge-r1")
    assert "ip route 192.0.2.0/24 Null0" in shown
    assert shown.rstrip().endswith("end")
    assert machine.run("vtysh", "-c", "show running-config") == before
