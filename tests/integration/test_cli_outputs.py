"""``devicevault git`` and ``devicevault notify``, as an operator types them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.doctor.outputs import look
from devicevault.outputs.progress import MIRROR, note_failure
from devicevault.settings import load_settings
from devicevault.store import open_store
from tests.mirrored import Vault, git

pytestmark = pytest.mark.services

Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path, sqlite_url: str) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git")], check=True, timeout=60)
    for name, code in (("good", 0), ("bad", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\ncat > {tmp_path}/{name}.got\necho not today >&2\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    path = tmp_path / "config.toml"
    path.write_text(
        f'database_url = "{sqlite_url}"\n'
        f'[mirror]\nenabled = true\npath = "{tmp_path}/mirror.git"\nremote = "{tmp_path}/remote.git"\n'
        f'[receivers.good]\ncommand = ["{tmp_path}/good"]\n[receivers.bad]\ncommand = ["{tmp_path}/bad"]\n'
    )
    return path


@pytest.fixture
def run(config: Path) -> Run:
    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(config), *arguments], catch_exceptions=False)

    return run_command


@pytest.fixture
def vault(sqlite_url: str, tmp_path: Path) -> Iterator[Vault]:
    with open_store(sqlite_url, migrate=True) as store:
        made = Vault(store, tmp_path / "mirror.git")
        made.run(["sw1"], "a\n")
        yield made


def test_the_mirror_is_shown_made_anew_and_pushed(run: Run, vault: Vault, tmp_path: Path) -> None:
    told = json.loads(run("git", "status", "--json").stdout)
    assert (told["commit"], told["revisions_waiting"], told["files"]) == ("", 1, 0)
    assert run("git", "push").exit_code == 78
    rebuilt = run("git", "rebuild")
    assert rebuilt.exit_code == 0
    assert "1 commits" in rebuilt.stdout
    pushed = run("git", "push")
    assert pushed.exit_code == 0, pushed.output
    assert git(tmp_path / "remote.git", "show", "main:dmz/sw1.cfg") == "a\n"
    told = json.loads(run("git", "status", "--json").stdout)
    assert told["commit"] == told["pushed"] == git(tmp_path / "mirror.git", "rev-parse", "main").strip()
    assert (told["revisions_waiting"], told["files"]) == (0, 1)


def test_a_mirror_that_fails_is_an_exit_code_and_a_finding(run: Run, vault: Vault, config: Path) -> None:
    with vault.store.session() as session:
        note_failure(session, MIRROR, "no room left")
    done = run("git", "status")
    assert done.exit_code == 1
    assert "no room left" in done.stdout
    findings = {finding.check: finding for finding in look(load_settings(config, {}))}
    assert findings["git mirror"].state == "warning"
    assert "no room left" in findings["git mirror"].text


def test_without_a_mirror_the_commands_say_how_to_have_one(run: Run, vault: Vault, config: Path) -> None:
    config.write_text(config.read_text().replace("enabled = true", "enabled = false"))
    for command in ("status", "rebuild", "push"):
        done = run("git", command)
        assert done.exit_code == 78
        assert "enabled = true" in done.stderr


def test_each_receiver_is_tried_and_a_failure_is_an_exit_code(run: Run, vault: Vault, tmp_path: Path) -> None:
    done = run("notify", "test")
    assert done.exit_code == 1
    assert "not today" in done.stdout
    assert json.loads((tmp_path / "good.got").read_text())["notices"][0]["kind"] == "test"
    assert run("notify", "test", "good").exit_code == 0
    told = json.loads(run("notify", "test", "bad", "--json").stdout)
    assert told == [{"receiver": "bad", "taken": False, "problem": "bad: not today"}]
    assert "did you mean 'good'" in run("notify", "test", "god").stderr


def test_who_is_told_what_is_shown(run: Run, vault: Vault) -> None:
    told = json.loads(run("notify", "status", "--json").stdout)
    assert [one["receiver"] for one in told["receivers"]] == ["good", "bad"]
    assert told["told"] == []
    assert run("notify", "status").exit_code == 0
