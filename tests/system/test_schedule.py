"""What starts a collection without anybody asking: the clock, and a device that tells of a change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system import vault
from tests.system.devices import simulated_devices
from tests.system.machine import Machine

DEVICE = "core-sw1"
TIMER = f"devicevault-collect@{vault.GROUP}.timer"
STAMP = f"/var/lib/systemd/timers/stamp-{TIMER}"
SOCKET, SERVICE = "devicevault-syslog.socket", "devicevault-syslog.service"
CHANGE = "%SYS-5-CONFIG_I: Configured from console by anna on vty0 (192.0.2.9)"


@pytest.fixture(scope="module")
def started(machine: Machine, package: Path) -> Iterator[Machine]:
    """A vault in use; a device is quiet after a second."""
    machine.install(package)
    machine.path("/etc/devicevault/config.d/syslog.toml").write_text("[syslog]\nquiet_s = 1\n")
    with simulated_devices(machine, {DEVICE: {"platform": "cisco_ios"}}) as ports:
        vault.write_devices(machine, ports)
        vault.start(machine, *vault.START_ORDER)
        yield machine


def scheduled(machine: Machine) -> dict[str, Any]:
    """What ``devicevault schedule`` tells of the group."""
    (group,) = json.loads(machine.run("devicevault", "schedule", "--group", vault.GROUP, "--json"))
    return dict(group)


def runs(machine: Machine, kind: str) -> list[dict[str, Any]]:
    return [run for run in json.loads(machine.run("devicevault", "runs", "--json")) if run["kind"] == kind]


def succeeded(machine: Machine) -> int:
    if not machine.path("/var/lib/devicevault/devicevault.db").exists() or not json.loads(
        machine.run("devicevault", "runs", "--json")
    ):
        return 0
    return [result["status"] for result in vault.history(machine, DEVICE)["results"]].count("success")


def test_a_group_without_a_clock_is_told_the_command_that_gives_it_one(started: Machine) -> None:
    before = scheduled(started)
    assert (before["devices"], before["clock"]["active"], before["clock"]["next_run"]) == (1, False, None)
    command = before["advice"].partition("give it one: ")[2]
    assert command == f"systemctl enable --now {TIMER}"
    started.run(*command.split())
    after = scheduled(started)
    clock = after["clock"]
    assert (clock["active"], clock["enabled"], clock["catches_up"], after["advice"]) == (True, True, True, "")
    assert (clock["calendar"], clock["delay"]) == (["*-*-* 00:00:00"], "1h")
    assert clock["next_run"] is not None


def test_a_run_that_was_missed_for_days_is_made_up_for_once(started: Machine) -> None:
    """As after a boot: the timer knows by its stamp when it last ran."""
    drop_in = started.path(f"/etc/systemd/system/{TIMER}.d/soon.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Timer]\nRandomizedDelaySec=0\n")
    started.run("systemctl", "daemon-reload")
    started.run("systemctl", "stop", TIMER)
    assert runs(started, "scheduled") == []
    started.run("touch", "--date=3 days ago", STAMP)
    started.run("systemctl", "start", TIMER)
    unit = TIMER.replace(".timer", ".service")
    started.wait_until(lambda: succeeded(started) == 1, 90, "the missed run was made up for")
    started.wait_until(lambda: started.property(unit, "ActiveState") == "inactive", 30, "the run is over")
    (run,) = runs(started, "scheduled")
    told = scheduled(started)
    assert (told["run"]["run_id"], told["run"]["statuses"]) == (run["run_id"], {"success": 1})
    assert (told["clock"]["ended"], told["clock"]["last_run"] is not None) == ("", True)


def test_a_message_wakes_the_listener_and_ends_as_a_stored_result(started: Machine) -> None:
    started.run("systemctl", "enable", "--now", SOCKET)
    assert (started.is_active(SOCKET), started.is_active(SERVICE)) == (True, False)
    before = succeeded(started)
    started.run("logger", "--server", "127.0.0.1", "--port", "514", "--udp", CHANGE)
    started.wait_until(lambda: succeeded(started) == before + 1, 90, "the change was collected")
    started.run("logger", "--server", "127.0.0.1", "--tcp", "--port", "514", "--octet-count", CHANGE)
    started.wait_until(lambda: succeeded(started) == before + 2, 90, "the next change was collected")
    assert [run["asked_by"] for run in runs(started, "syslog")] == ["change", "change"]
    assert started.property(SERVICE, "StatusText").startswith("listening at udp [::]:514, tcp [::]:514: 1 devices")
    assert f"{DEVICE}: asked for, since it told of changes (1 message)" in started.journal(f"DEVICE={DEVICE}")
    findings = json.loads(started.try_run("devicevault", "doctor", "--json").stdout)
    assert [finding["text"] for finding in findings if finding["check"] == "syslog"] == [
        "listening for devices that tell of changes"
    ]


def test_a_reload_and_a_restart_keep_listening(started: Machine) -> None:
    started.run("systemctl", "reload", SERVICE)
    before = started.property(SERVICE, "MainPID")
    # As an upgrade of the package does.
    started.run("systemctl", "try-restart", "devicevault-syslog*.service")
    assert started.property(SERVICE, "MainPID") != before
    assert started.is_active(SOCKET)


def test_a_mistake_in_a_file_ends_the_listener_for_good_and_the_doctor_says_what_to_do(started: Machine) -> None:
    devices = started.path("/etc/devicevault/devices.toml")
    right = devices.read_text()
    devices.write_text(right.replace("platform", "platfrom"))
    started.run("systemctl", "stop", SERVICE)
    started.run("logger", "--server", "127.0.0.1", "--port", "514", "--udp", CHANGE)
    started.wait_until(lambda: started.property(SOCKET, "ActiveState") == "failed", 60, "it gave up")
    devices.write_text(right)
    findings = json.loads(started.try_run("devicevault", "doctor", "--json").stdout)
    (fault,) = [finding for finding in findings if finding["check"] == "syslog"]
    assert fault["text"].startswith(f"{SOCKET} failed: service-start-limit-hit")
    started.run("sh", "-ec", fault["fix"].partition("then: ")[2])
    before = succeeded(started)
    started.run("logger", "--server", "127.0.0.1", "--port", "514", "--udp", CHANGE)
    started.wait_until(lambda: succeeded(started) == before + 1, 90, "it listens again")


def test_removing_the_package_closes_the_ears(started: Machine) -> None:
    started.run("apt-get", "remove", "--yes", "devicevault")
    assert "514" not in started.run("ss", "--listening", "--udp", "--tcp", "--numeric")
