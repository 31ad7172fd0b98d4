"""``devicevault collect --inline`` on simulated devices: no broker, no Redis, the truth in the database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from devicevault.cli import main
from devicevault.demo import scene
from devicevault.demo.configurations import secrets_of
from devicevault.demo.fleet import Fleet


class Vault:
    """A folder with settings, inventory, credentials and keys, and commands run in it."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.folder = folder
        self.config = scene.write_files(folder, fleet, redis_port=1)  # nothing listens there
        self.run("keys", "create")

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "devicevault", *words],
            env={**os.environ, "DEVICEVAULT_CONFIG": str(self.config)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, expect: int = 0) -> tuple[str, str]:
        ended = CliRunner().invoke(main, words, env={"DEVICEVAULT_CONFIG": str(self.config)})
        assert ended.exit_code == expect, ended.output
        return ended.stdout, ended.stderr

    def results(self, *words: str, expect: int = 0) -> dict[str, dict[str, Any]]:
        out, _ = self.run("collect", "--inline", "--json", *words, expect=expect)
        return {row["device"]: row for row in json.loads(out)["results"]}


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    devices = scene.simulated_devices()
    for device in devices:
        device.delay_s = 0
    with Fleet(devices) as running:
        yield running


@pytest.fixture
def vault(tmp_path: Path, fleet: Fleet) -> Vault:
    return Vault(tmp_path, fleet)


def test_every_platform_is_backed_up_unchanged_the_second_time_and_never_changed(vault: Vault, fleet: Fleet) -> None:
    first = vault.results("--all")
    assert {row["status"] for row in first.values()} == {"success"}
    second = vault.results("--all")
    assert {name: row["changed"] for name, row in second.items()} == dict.fromkeys(scene.PLATFORM_OF, False)
    assert fleet.changes == []


@pytest.mark.parametrize("name", scene.PLATFORM_OF)
def test_no_secret_of_a_configuration_is_shown_and_the_rest_is(vault: Vault, fleet: Fleet, name: str) -> None:
    _, session = vault.run("collect", "--inline", "-v", name)
    shown, _ = vault.run("show", name)
    for secret in (*secrets_of(scene.PLATFORM_OF[name], name), scene.PASSWORD, scene.ENABLE):
        assert secret not in session
        assert secret not in shown
    lines = {line.strip() for line in shown.splitlines()}
    secrets = secrets_of(scene.PLATFORM_OF[name], name)
    public = [line.strip() for line in fleet[name].configuration.splitlines() if not any(s in line for s in secrets)]
    assert [line for line in public if line not in lines] == []


def test_what_a_device_sends_cannot_command_the_terminal_of_who_looks_on(vault: Vault, fleet: Fleet) -> None:
    device = fleet["access-sw1"]
    device.configuration = device.configuration.replace("name staff", "name \x1b]0;owned\x07\x9b2Jstaff")
    out, err = vault.run("collect", "--inline", "-v", "access-sw1")
    assert "staff" in err
    assert not set(out + err) & {"\x1b", "\x07", "\x9b"}


def test_who_stops_looking_on_stops_no_backup(vault: Vault) -> None:
    """As ``collect --inline -v ... 2>&1 | head`` does."""
    looked_at = vault.start("collect", "--inline", "--json", "-v", "access-sw1", "lab-rtr1")
    assert looked_at.stdout is not None
    assert looked_at.stderr is not None
    looked_at.stderr.close()
    results = json.loads(looked_at.stdout.read())["results"]
    assert [row["status"] for row in results] == ["success", "success"]
    assert looked_at.wait(60) == 0


def test_a_device_that_fails_ends_with_exit_code_1_and_what_to_do(vault: Vault, fleet: Fleet) -> None:
    fleet["access-sw1"].fault = "refuse_auth"
    out, err = vault.run("collect", "--inline", "access-sw1", "lab-rtr1", expect=1)
    assert "auth: " in out
    assert "2 devices: 1 success, 1 failure" in out
    assert err == ""


def test_an_unknown_device_names_the_nearest(vault: Vault) -> None:
    _, err = vault.run("collect", "--inline", "acces-sw1", expect=2)
    assert "access-sw1" in err


def test_without_keys_nothing_is_collected_and_the_way_to_make_them_is_told(vault: Vault, fleet: Fleet) -> None:
    (vault.folder / "vault.pub").unlink()
    _, err = vault.run("collect", "--inline", "lab-rtr1", expect=78)
    assert "keys create" in err
    assert fleet["lab-rtr1"].logins == 0


def test_an_interrupted_collection_ends_as_cancelled_not_as_queued_for_ever(vault: Vault, fleet: Fleet) -> None:
    fleet["lab-rtr1"].fault = "stall"
    process = vault.start("collect", "--inline", "-v", "lab-rtr1", "jump-host1")
    assert process.stderr is not None
    seen = ""
    while "> show running-config" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    out, _ = vault.run("status", "--json")
    assert {state["device"]: state["latest"]["status"] for state in json.loads(out) if state["latest"]} == {
        "lab-rtr1": "cancelled",
        "jump-host1": "cancelled",
    }


def test_a_changed_host_key_is_refused_with_both_fingerprints(vault: Vault, fleet: Fleet) -> None:
    vault.run("collect", "--inline", "lab-rtr1")
    fleet.replace_host_key("lab-rtr1")
    row = vault.results("lab-rtr1", expect=1)["lab-rtr1"]
    assert row["error"] == "host_key"
    assert row["error_message"].count("SHA256:") == 2


def test_waiting_for_workers_without_a_broker_is_told_with_exit_code_75(vault: Vault) -> None:
    _, err = vault.run("collect", "--all", "--wait", expect=75)
    assert "broker" in err
    assert "devicevault doctor" in err
