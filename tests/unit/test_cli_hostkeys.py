"""``devicevault hostkeys``: which keys devices are known by, and taking new ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.errors import ExitCode
from devicevault.host_key import fingerprint
from devicevault.store import open_store, reader, write_results
from tests.results import request, result

OLD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJNDfzXWoEPDHVTWeXCnVkVOH3bs3FWyVSEDIVDaZ8o9"
NEW = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJNDfzXWoEPDHVTWeXCnVkVOH3bs3FWyVSEDIVDaZ8oN"
OTHER = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, sqlite_url: str) -> Run:
    environ = {"DEVICEVAULT_CONFIG": None, "DEVICEVAULT_DATABASE_URL": sqlite_url}

    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["hostkeys", *arguments], env=environ, catch_exceptions=False)

    return run_command


class Vault:
    """Devices as their collections left them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.minutes = 0.0

    def ended(self, device: str, status: str, error: str = "", key: str = "", **values: Any) -> None:
        self.minutes += 1
        asked = request(device, minutes=self.minutes, **values)
        texts = ("text\n",) if status == "success" else ()
        with open_store(self.url, migrate=True) as store:
            write_results(store, [result(asked, status, *texts, error=error, host_key=key)])

    def pinned(self, device: str) -> tuple[str, ...]:
        with open_store(self.url) as store, store.reading() as session:
            return reader.pinned_host_keys(session, [device]).get(device, ())


@pytest.fixture
def vault(sqlite_url: str) -> Vault:
    """sw1 and sw2 were replaced, sw3 was not, new was never seen under ``strict``."""
    made = Vault(sqlite_url)
    for device in ("sw1", "sw2", "sw3"):
        made.ended(device, "success", key=OLD, group="branch")
    made.ended("sw1", "failure", "host_key", NEW, group="branch")
    made.ended("sw2", "failure", "host_key", OTHER, group="branch")
    # The newest collection did not even reach it.
    made.ended("sw2", "failure", "unreachable", group="branch")
    made.ended("sw3", "failure", "auth", group="branch")
    made.ended("new", "failure", "host_key", NEW, group="lab")
    return made


def test_devices_that_were_replaced_are_accepted_in_bulk(run: Run, vault: Vault) -> None:
    done = run("accept", "--group", "branch")
    assert done.exit_code == 0
    assert f"sw1: ssh-ed25519 {fingerprint(NEW)} is accepted, before: ssh-ed25519 {fingerprint(OLD)}\n" in done.stdout
    assert "sw3" not in done.stdout
    assert [vault.pinned(device) for device in ("sw1", "sw2", "sw3", "new")] == [(NEW,), (OTHER,), (OLD,), ()]
    assert run("list", "--changed", "-g", "branch").stdout == "no device showed another host key\n"


def test_a_device_never_seen_is_accepted_by_name(run: Run, vault: Vault) -> None:
    assert run("accept", "new").stdout == f"new: ssh-ed25519 {fingerprint(NEW)} is accepted\n"
    assert vault.pinned("new") == (NEW,)


def test_nothing_is_accepted_when_one_named_device_showed_no_other_key(run: Run, vault: Vault) -> None:
    done = run("accept", "sw1", "sw3")
    assert done.exit_code == ExitCode.USAGE
    assert "sw3 showed no host key that was refused" in done.stderr
    assert vault.pinned("sw1") == (OLD,)


def test_a_key_is_accepted_only_if_it_is_the_one_that_was_compared(run: Run, vault: Vault) -> None:
    refused = run("accept", "sw1", "--fingerprint", fingerprint(OTHER))
    assert (refused.exit_code, vault.pinned("sw1")) == (ExitCode.USAGE, (OLD,))
    assert fingerprint(NEW) in refused.stderr
    assert run("accept", "sw1", "--fingerprint", fingerprint(NEW)).exit_code == 0
    assert vault.pinned("sw1") == (NEW,)


def test_an_accepted_key_is_not_refused_any_more_and_a_third_one_is(run: Run, vault: Vault) -> None:
    run("accept", "sw1")
    assert run("accept", "sw1").exit_code == ExitCode.USAGE
    vault.ended("sw1", "failure", "host_key", OTHER, group="branch")
    assert run("accept", "sw1").exit_code == 0
    assert vault.pinned("sw1") == (OTHER,)


def test_a_key_refused_before_the_last_success_is_history(run: Run, vault: Vault) -> None:
    vault.ended("sw1", "success", key=OLD, group="branch")
    assert run("accept", "sw1").exit_code == ExitCode.USAGE


def test_the_list_shows_both_fingerprints(run: Run, vault: Vault) -> None:
    line = next(line for line in run("list").stdout.splitlines() if line.startswith("sw1 "))
    assert fingerprint(OLD) in line
    assert line.endswith(fingerprint(NEW))
    told = json.loads(run("list", "--changed", "--json").stdout)
    assert [(one["device"], one["refused_fingerprint"]) for one in told] == [
        ("new", fingerprint(NEW)),
        ("sw1", fingerprint(NEW)),
        ("sw2", fingerprint(OTHER)),
    ]


def test_show_tells_the_keys_whole(run: Run, vault: Vault) -> None:
    shown = run("show", "sw1").stdout.splitlines()
    assert (shown[1], shown[3]) == (OLD, NEW)
    assert "did you mean 'sw1'" in run("show", "sw11").stderr


def test_a_forgotten_key_makes_room_for_the_next_one_seen(run: Run, vault: Vault) -> None:
    assert run("forget", "sw1").stdout == "sw1: its host key is forgotten\n"
    assert run("forget", "sw1").stdout == "sw1: no host key was pinned\n"
    vault.ended("sw1", "success", key=OTHER, group="branch")
    assert vault.pinned("sw1") == (OTHER,)


@pytest.mark.parametrize("command", ["accept", "forget"])
def test_a_command_without_a_device_changes_nothing(run: Run, vault: Vault, command: str) -> None:
    assert run(command).exit_code == ExitCode.USAGE
    assert vault.pinned("sw1") == (OLD,)
