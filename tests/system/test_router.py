"""A real router: FRRouting, reached over the machine's own SSH server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.system import vault
from tests.system.conftest import REPOSITORY
from tests.system.machine import Machine

WORKER = vault.DAEMONS[0]
#: In no network that the manual's example allows.
ELSEWHERE = "198.51.100.7"


@pytest.fixture(scope="module")
def router(machine: Machine, package: Path) -> Machine:
    """A vault and a router in one: edge-r1 on loopback, and the same as edge-r2 at another address."""
    machine.install(package)
    machine.run("useradd", "--groups", "frrvty", "--shell", "/usr/bin/vtysh", "backup-user")
    machine.run("chpasswd", stdin=f"backup-user:{vault.PASSWORD}\n")
    machine.run("vtysh", "-c", "configure terminal", "-c", "ip route 192.0.2.0/24 Null0")
    machine.run("ip", "address", "add", f"{ELSEWHERE}/32", "dev", "lo")
    vault.write_devices(machine, {"edge-r1": 22, "edge-r2": 22}, platform="frr")
    devices = machine.path("/etc/devicevault/devices.toml")
    devices.write_text(re.sub(r'(edge-r2]\naddress = )"[^"]*"', rf'\1"{ELSEWHERE}"', devices.read_text()))
    credentials = machine.path("/etc/devicevault/credentials.toml")
    credentials.write_text(credentials.read_text().replace('"backup"', '"backup-user"'))
    machine.path("/etc/devicevault/config.d/soon.toml").write_text("[ssh]\nconnect_timeout_s = 2\nattempts = 1\n")
    vault.start(machine, *vault.START_ORDER)
    return machine


def test_a_frr_router_is_backed_up_whole_and_stays_as_it_is(router: Machine) -> None:
    before = router.run("vtysh", "-c", "show running-config")
    router.run("devicevault", "collect", "edge-r1", "edge-r2", "--wait", "--timeout", "60")
    for device in ("edge-r1", "edge-r2"):
        shown = router.run("devicevault", "show", device)
        assert "ip route 192.0.2.0/24 Null0" in shown
        assert shown.rstrip().endswith("end")
    assert router.run("vtysh", "-c", "show running-config") == before


def test_a_worker_told_its_networks_reaches_no_other(router: Machine) -> None:
    """The drop-in is the one in devicevault-worker@.service(8)."""
    page = (REPOSITORY / "packaging/man/devicevault-worker@.service.8").read_text()
    (drop_in,) = re.findall(r"^(\[Service\]\nIPAddressDeny=.*?)^\.EE$", page, re.MULTILINE | re.DOTALL)
    place = router.path(f"/etc/systemd/system/{WORKER}.service.d/networks.conf")
    place.parent.mkdir()
    place.write_text(drop_in)
    router.run("systemctl", "daemon-reload")
    router.run("systemctl", "restart", WORKER)
    router.run("devicevault", "collect", "edge-r1", "--wait", "--timeout", "60")
    assert router.try_run("devicevault", "collect", "edge-r2", "--wait", "--timeout", "60").returncode == 1
    assert vault.history(router, "edge-r2")["results"][0]["error"] == "unreachable"
