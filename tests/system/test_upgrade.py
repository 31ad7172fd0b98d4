"""An upgrade of a vault in use, at the worst of times: the broker is down, and a conffile was edited.

What it comes from is DeviceVault as it was at an earlier commit, with a database of that time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system import vault
from tests.system.devices import simulated_devices
from tests.system.machine import Machine

WORKERS = ("devicevault-worker@dmz", "devicevault-worker@branch")
CONSUMER = "devicevault-consumer"
RUNNING = (CONSUMER, *WORKERS)
STOPPED = "devicevault-worker@lab"
DEVICE = "core-sw1"
#: apt may not wait for a broker, which a worker does for 150 s; a busy machine takes its time to unpack.
UPGRADED_WITHIN_S = 60
EDITED = 'broker_url = "amqp://guest:guest@localhost:5672//"\n[worker]\nconcurrency = 5\n'


@dataclass
class Upgrade:
    machine: Machine
    #: The main process of each unit before.
    before: dict[str, str]
    took_s: float
    #: What unpacking the earlier package took.
    first_took_s: float


@pytest.fixture(scope="module")
def upgrade(machine: Machine, older_package: Path, package: Path) -> Upgrade:
    began = time.monotonic()
    machine.install(older_package)
    first_took_s = time.monotonic() - began
    machine.path("/etc/devicevault/config.toml").write_text(EDITED)
    vault.start(machine, *RUNNING, STOPPED)
    with simulated_devices(machine, {DEVICE: {"platform": "cisco_ios"}}) as ports:
        vault.write_devices(machine, ports)
        machine.run("systemctl", "reload", WORKERS[0])
        machine.wait_until(lambda: machine.is_active(WORKERS[0]), 30, "it has its credentials")
        machine.run("devicevault", "collect", DEVICE, "--wait", "--timeout", "60")
    machine.path("/etc/devicevault/devices.toml").unlink()
    machine.run("systemctl", "stop", STOPPED, "rabbitmq-server")
    before = {unit: machine.property(unit, "MainPID") for unit in RUNNING}
    began = time.monotonic()
    machine.install(package)
    return Upgrade(machine, before, time.monotonic() - began, first_took_s)


def test_apt_waits_for_no_broker(upgrade: Upgrade) -> None:
    assert upgrade.took_s < UPGRADED_WITHIN_S + upgrade.first_took_s
    status = upgrade.machine.run("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "devicevault")
    assert status.startswith("installed")
    assert not status.endswith("0.0.9")


@pytest.mark.parametrize("unit", RUNNING)
def test_no_old_process_stays(upgrade: Upgrade, unit: str) -> None:
    upgrade.machine.wait_until(
        lambda: upgrade.machine.property(unit, "MainPID") not in ("0", upgrade.before[unit]),
        90,
        f"{unit} is another process",
    )


def test_the_database_is_of_this_release_and_has_what_it_had(upgrade: Upgrade) -> None:
    upgrade.machine.wait_until(lambda: upgrade.machine.is_active(CONSUMER), 90, "the consumer is ready")
    upgrade.machine.run("devicevault", "db", "check")
    assert f"hostname {DEVICE}" in upgrade.machine.run("devicevault", "show", DEVICE)
    assert f"hostname {DEVICE}" in upgrade.machine.run("devicevault", "show", DEVICE, "--original")


def test_what_was_stopped_stays_stopped(upgrade: Upgrade) -> None:
    assert upgrade.machine.property(STOPPED, "ActiveState") == "inactive"
    assert upgrade.machine.property("devicevault.target", "ActiveState") == "inactive"
    assert upgrade.machine.property("devicevault-flower", "ActiveState") == "inactive"


def test_the_edited_file_stays_and_the_deleted_one_stays_away(upgrade: Upgrade) -> None:
    assert upgrade.machine.path("/etc/devicevault/config.toml").read_text() == EDITED
    assert not list(upgrade.machine.path("/etc/devicevault").glob("config.toml.*"))
    assert not upgrade.machine.path("/etc/devicevault/devices.toml").exists()


def test_the_workers_are_ready_once_the_broker_is_back(upgrade: Upgrade) -> None:
    assert upgrade.machine.property(WORKERS[0], "ActiveState") == "activating"
    upgrade.machine.run("systemctl", "start", "rabbitmq-server")
    for unit in RUNNING:
        upgrade.machine.wait_until(lambda unit=unit: upgrade.machine.is_active(unit), 90, f"{unit} is ready")  # type: ignore[misc]
