"""From a fresh installation to a device's first backup, with nothing but apt, an editor, systemctl and journalctl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devicevault.demo.configurations import configuration_for
from tests.system import vault
from tests.system.devices import simulated_devices
from tests.system.machine import Machine

DEVICE = "core-sw1"
WORKER, CONSUMER = vault.DAEMONS


@pytest.fixture(scope="module")
def started(machine: Machine, package: Path) -> Iterator[Machine]:
    """A vault with one device, its daemons started for the first time, by one command."""
    machine.install(package)
    with simulated_devices(machine, {DEVICE: {"platform": "cisco_ios"}}) as ports:
        vault.write_devices(machine, ports)
        machine.run("systemctl", "start", WORKER, CONSUMER)
        yield machine


def test_both_daemons_say_what_they_are_at(started: Machine) -> None:
    for unit in vault.DAEMONS:
        assert started.is_active(unit), started.journal_tail()
        assert started.property(unit, "StatusText")


def test_the_vault_has_its_keys_from_the_first_start(started: Machine) -> None:
    assert started.run("stat", "--format=%U:%G %a", "/etc/devicevault/vault.key").strip() == "root:root 600"
    assert started.run("stat", "--format=%U:%G %a", "/etc/devicevault/vault.digest").strip() == "root:devicevault 640"
    before = started.path("/etc/devicevault/vault.key").read_bytes()
    started.run("systemctl", "restart", CONSUMER)
    assert started.path("/etc/devicevault/vault.key").read_bytes() == before


def test_a_backup_ends_in_the_vault(started: Machine) -> None:
    started.run("devicevault", "collect", DEVICE, "--wait", "--timeout", "60")
    shown = started.run("devicevault", "show", DEVICE)
    assert f"hostname {DEVICE}" in shown
    assert shown.rstrip().endswith("end")


def test_root_alone_opens_the_original(started: Machine) -> None:
    original = started.run("devicevault", "show", DEVICE, "--original")
    for line in configuration_for("cisco_ios", DEVICE).splitlines():
        assert line in original


def test_the_journal_finds_the_device_through_both_daemons(started: Machine) -> None:
    entries = started.run("journalctl", "--quiet", "--output=verbose", f"DEVICE={DEVICE}", "--unit=devicevault-*")
    for field in (f"_SYSTEMD_UNIT={WORKER}.service", f"_SYSTEMD_UNIT={CONSUMER}.service", f"GROUP={vault.GROUP}"):
        assert field in entries
    for field in ("TASK_ID=", "RUN_ID=", "PLATFORM=cisco_ios", "STATUS=success", "DURATION_MS=", "PRIORITY=6"):
        assert field in entries


def test_no_password_is_in_the_journal_or_in_ps(started: Machine) -> None:
    assert vault.PASSWORD not in started.run("journalctl", "--quiet", "--output=export")
    assert vault.PASSWORD not in started.run("ps", "axeww")


def test_an_operator_collects_without_being_able_to_read_a_password(started: Machine) -> None:
    started.run("useradd", "--groups", "devicevault", "anna")
    started.run("runuser", "-u", "anna", "--", "devicevault", "collect", DEVICE, "--wait", "--timeout", "60")
    started.run("runuser", "-u", "anna", "--", "devicevault", "show", DEVICE)
    refused = started.try_run("runuser", "-u", "anna", "--", "devicevault", "show", DEVICE, "--original")
    assert refused.returncode
    assert "Traceback" not in refused.stderr


def test_a_group_is_backed_up_by_its_unit(started: Machine) -> None:
    started.run("systemctl", "start", f"devicevault-collect@{vault.GROUP}")
    assert started.property(f"devicevault-collect@{vault.GROUP}", "Result") == "success"


def test_the_timer_is_a_daily_clock_and_the_doctor_misses_it_until_it_runs(started: Machine) -> None:
    timer = f"devicevault-collect@{vault.GROUP}.timer"
    (missed,) = doctor(started, "timers")
    assert (missed["state"], missed["fix"]) == ("warning", f"systemctl enable --now {timer}")
    started.run(*missed["fix"].split())
    assert started.property(timer, "NextElapseUSecRealtime")
    (found,) = doctor(started, "timers")
    assert (found["state"], found["text"]) == ("ok", f"scheduled: {vault.GROUP}")


def test_what_is_old_is_deleted_by_its_unit(started: Machine) -> None:
    started.run("systemctl", "start", "devicevault-prune")
    assert f"hostname {DEVICE}" in started.run("devicevault", "show", DEVICE)


def test_flower_without_a_password_says_so_and_is_not_tried_again(started: Machine) -> None:
    assert started.try_run("systemctl", "start", "devicevault-flower").returncode
    assert started.property("devicevault-flower", "ActiveState") == "failed"
    assert started.property("devicevault-flower", "ExecMainStatus") == "78"
    assert "flower.password" in "\n".join(started.journal("--unit=devicevault-flower"))
    fault, running = doctor(started, "units")
    assert (fault["state"], fault["text"]) == ("fault", "devicevault-flower.service failed: exit-code, exit code 78")
    assert (running["state"], running["text"]) == ("ok", f"running: {CONSUMER}, {WORKER}")


def test_flower_with_a_password_is_closed_and_listens_on_loopback(started: Machine) -> None:
    started.path("/etc/devicevault/config.d/flower.toml").write_text('[flower]\npassword = "open sesame"\n')
    # As the doctor said.
    started.run("systemctl", "restart", "devicevault-flower")
    (running,) = doctor(started, "units")
    assert "devicevault-flower" in running["text"]
    asked = (
        "import urllib.request, urllib.error\n"
        "try: urllib.request.urlopen('http://127.0.0.1:5555/')\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    assert started.run("python3", "-c", asked).strip() == "401"
    assert "127.0.0.1:5555" in started.run("ss", "--listening", "--tcp", "--numeric")


def test_a_frozen_worker_is_killed_and_works_again(started: Machine) -> None:
    """With a watchdog of 10 s instead of the unit's own, so that the test is over soon."""
    drop_in = started.path(f"/etc/systemd/system/{WORKER}.service.d/watchdog.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nWatchdogSec=10\nRestartSec=1\n")
    started.run("systemctl", "daemon-reload")
    started.run("systemctl", "restart", WORKER)
    frozen = started.property(WORKER, "MainPID")
    started.run("kill", "-STOP", frozen)
    started.wait_until(
        lambda: started.property(WORKER, "MainPID") not in ("0", frozen) and started.is_active(WORKER),
        45,
        "the worker runs again",
    )
    started.run("devicevault", "collect", DEVICE, "--wait", "--timeout", "60")


def test_everything_enabled_is_back_after_a_reboot(started: Machine) -> None:
    started.run("systemctl", "enable", *vault.DAEMONS)
    before = vault.history(started, DEVICE)
    started.reboot()
    started.wait_until(lambda: all(map(started.is_active, vault.DAEMONS)), 60, "both daemons are back")
    assert vault.history(started, DEVICE) == before


def doctor(machine: Machine, check: str) -> list[dict[str, str]]:
    """What the doctor finds of one kind."""
    findings = json.loads(machine.try_run("devicevault", "doctor", "--json").stdout)
    return [finding for finding in findings if finding["check"] == check]
