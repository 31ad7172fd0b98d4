"""Removing keeps what was collected; purging deletes the rest, but never the keys and the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import vault
from tests.system.devices import simulated_devices
from tests.system.machine import Machine

DEVICE = "core-sw1"
DATABASE = "/var/lib/devicevault/devicevault.db"
KEY = "/etc/devicevault/vault.key"
SOCKET, LISTENER = "devicevault-syslog.socket", "devicevault-syslog.service"


@pytest.fixture(scope="module")
def used(machine: Machine, package: Path) -> Iterator[Machine]:
    """A vault in use, its units enabled."""
    machine.install(package)
    with simulated_devices(machine, {DEVICE: {"platform": "cisco_ios"}}) as ports:
        vault.write_devices(machine, ports)
        vault.start(machine, *vault.START_ORDER)
        machine.run("devicevault", "collect", DEVICE, "--wait", "--timeout", "60")
        machine.run("systemctl", "enable", *vault.DAEMONS, "devicevault.target")
        machine.run("systemctl", "enable", "--now", SOCKET)
        yield machine


def test_unpacking_the_package_anew_leaves_the_socket_listening(used: Machine, package: Path) -> None:
    used.install(package, "--reinstall")
    assert used.is_active(SOCKET)
    used.run("systemctl", "start", LISTENER)
    used.install(package, "--reinstall")
    assert used.is_active(SOCKET)
    used.wait_until(lambda: used.is_active(LISTENER), 30, "it was running")


def test_removing_stops_everything_and_keeps_data(used: Machine, package: Path) -> None:
    used.run("apt-get", "remove", "--yes", "devicevault")
    assert used.run("systemctl", "list-units", "--no-legend", "--state=active,activating", "devicevault*") == ""
    for path in (DATABASE, KEY, "/etc/devicevault/config.toml", "/etc/devicevault/devices.toml"):
        assert used.path(path).exists()
    assert not used.path("/usr/lib/devicevault").exists()


def test_installed_again_it_goes_on(used: Machine, package: Path) -> None:
    used.install(package)
    vault.start(used, *vault.DAEMONS)
    assert f"hostname {DEVICE}" in used.run("devicevault", "show", DEVICE)


def test_purging_moves_keys_and_database_to_a_dated_folder(used: Machine) -> None:
    key, database = used.path(KEY).read_bytes(), used.path(DATABASE).stat().st_ino
    said = used.try_run("apt-get", "purge", "--yes", "devicevault")
    assert said.returncode == 0, said.stderr
    (kept,) = used.path("/var/backups").glob("devicevault-*")
    assert str(kept).removeprefix(str(used.root)) in said.stdout + said.stderr
    assert (kept / "vault.key").read_bytes() == key
    assert (kept / "devicevault.db").stat().st_ino == database
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (
        used.run("find", "/var/backups", "-name", "devicevault*", "-newer", "/etc/hostname", "!", "-user", "root") == ""
    )


def test_purging_leaves_nothing_else(used: Machine) -> None:
    places = ("/etc", "/usr", "/run", "/var/cache", "/var/lib/devicevault", "/var/lib/systemd")
    left = used.run("sh", "-c", f"find {' '.join(places)} -name '*devicevault*' 2>/dev/null || true")
    assert left == ""
    assert used.run("systemctl", "list-units", "--all", "--no-legend", "devicevault*") == ""
