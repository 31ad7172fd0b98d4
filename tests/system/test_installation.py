"""A fresh installation: what is there, whose it is, and that nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.machine import Machine

DAEMONS = (
    "devicevault-worker@dmz",
    "devicevault-consumer",
    "devicevault-flower",
    "devicevault-collect@dmz",
    "devicevault-prune",
    "devicevault-syslog",
)
#: What `systemd-analyze security` may score, in tenths.
HIGHEST_SCORE = 12


@pytest.fixture(scope="module")
def vault(machine: Machine, package: Path) -> Machine:
    machine.install(package)
    return machine


def test_nothing_is_started_or_enabled(vault: Machine) -> None:
    assert vault.run("systemctl", "list-units", "--all", "--no-legend", "devicevault*").strip() == ""
    states = vault.run("systemctl", "list-unit-files", "--no-legend", "devicevault*").splitlines()
    assert {line.split()[0]: line.split()[1] for line in states} == {
        "devicevault-collect@.service": "static",
        "devicevault-collect@.timer": "disabled",
        "devicevault-consumer.service": "disabled",
        "devicevault-flower.service": "disabled",
        "devicevault-prune.service": "static",
        "devicevault-prune.timer": "disabled",
        "devicevault-syslog.service": "static",
        "devicevault-syslog.socket": "disabled",
        "devicevault-worker@.service": "disabled",
        "devicevault.target": "disabled",
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/devicevault", "root:root 755"),
        ("/etc/devicevault/config.toml", "root:devicevault 640"),
        ("/etc/devicevault/config.d", "root:devicevault 750"),
        ("/etc/devicevault/devices.toml", "root:devicevault 640"),
        ("/etc/devicevault/credentials.toml", "root:devicevault-worker 640"),
        ("/var/lib/devicevault", "devicevault:devicevault 2770"),
    ],
)
def test_each_file_is_its_users(vault: Machine, path: str, expected: str) -> None:
    assert vault.run("stat", "--format=%U:%G %a", path).strip() == expected


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        ("devicevault", {"devicevault"}),
        ("devicevault-worker", {"devicevault-worker", "devicevault"}),
        ("devicevault-flower", {"devicevault-flower", "devicevault"}),
    ],
)
def test_each_daemon_has_a_user_of_its_own(vault: Machine, user: str, groups: set[str]) -> None:
    assert set(vault.run("id", "--groups", "--name", user).split()) == groups
    assert vault.run("getent", "passwd", user).strip().endswith("nologin")


@pytest.mark.parametrize("command", ["config check", "devices check", "platforms list", "collect --help"])
def test_commands_work_as_installed(vault: Machine, command: str) -> None:
    vault.run("devicevault", *command.split())


def test_an_operator_reads_the_settings_and_no_password(vault: Machine) -> None:
    vault.run("useradd", "--groups", "devicevault", "anna")
    vault.run("runuser", "-u", "anna", "--", "devicevault", "config", "check")
    assert vault.try_run("runuser", "-u", "anna", "--", "cat", "/etc/devicevault/credentials.toml").returncode
    assert vault.try_run("runuser", "-u", "nobody", "--", "cat", "/etc/devicevault/config.toml").returncode


def test_a_user_of_no_group_is_told_what_is_missing(vault: Machine) -> None:
    ended = vault.try_run("runuser", "-u", "nobody", "--", "devicevault", "config", "check")
    assert ended.returncode == 78
    assert "config.toml" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("daemon", DAEMONS)
def test_each_service_is_closed_in(vault: Machine, daemon: str) -> None:
    vault.run("systemd-analyze", "security", f"--threshold={HIGHEST_SCORE}", f"{daemon}.service")


def test_systemd_understands_every_line_of_every_unit(vault: Machine) -> None:
    """Templates are checked with an instance that systemd makes up."""
    ended = vault.try_run("sh", "-c", "systemd-analyze verify /lib/systemd/system/devicevault*")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "page",
    [
        "1 devicevault",
        "5 devicevault-config",
        "5 devicevault-devices",
        "8 devicevault-worker@.service",
        "8 devicevault-consumer",
    ],
)
def test_man_pages_are_found_and_well_formed(vault: Machine, page: str) -> None:
    ended = vault.try_run("man", "--warnings", *page.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout) > 1000


def test_bash_completes_commands_and_options(vault: Machine) -> None:
    script = (
        ". /usr/share/bash-completion/completions/devicevault; "
        "COMP_WORDS=(devicevault config sh); COMP_CWORD=2; _devicevault_completion devicevault sh config; "
        'echo "${COMPREPLY[@]}"'
    )
    assert vault.run("bash", "-c", script).split() == ["show"]


def test_no_file_of_the_environment_is_missing_its_bytecode_or_writable(vault: Machine) -> None:
    """Neither root's commands nor the daemons ever write under /usr."""
    before = vault.run("find", "/usr/lib/devicevault", "-newer", "/etc/hostname", "-type", "f", "-printf", "%p %T@\\n")
    vault.run("devicevault", "demo", "--help")
    vault.run("devicevault", "doctor", "--help")
    after = vault.run("find", "/usr/lib/devicevault", "-newer", "/etc/hostname", "-type", "f", "-printf", "%p %T@\\n")
    assert after == before
    assert vault.run("find", "/usr/lib/devicevault", "!", "-user", "root").strip() == ""


def test_the_package_holds_what_it_says(vault: Machine) -> None:
    assert vault.run("dpkg", "--verify", "devicevault").strip() == ""
