"""``devicevault collect --wait``: a person who waits is told the truth, and may go away."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from devicevault.cli import main
from devicevault.store import open_store, reader
from tests.servers import RedisServer


@pytest.fixture
def config(tmp_path: Path, redis: RedisServer, redis_url: str) -> Path:
    """Settings of a vault with two devices, and no worker to collect them."""
    (tmp_path / "devices.toml").write_text(
        '[defaults]\nplatform = "noop"\n[devices.sw1]\naddress = "192.0.2.1"\n[devices.sw2]\naddress = "192.0.2.2"\n'
    )
    path = tmp_path / "config.toml"
    path.write_text(
        f'broker_url = "{redis.database_url(0)}"\nredis_url = "{redis_url}"\n'
        f'database_url = "sqlite:///{tmp_path}/devicevault.db"\n[inventory]\npath = "{tmp_path}/devices.toml"\n'
    )
    return path


@pytest.mark.services
def test_when_the_time_is_over_the_rest_is_told_and_the_exit_code_says_try_again(config: Path) -> None:
    ended = CliRunner().invoke(
        main, ["--config", str(config), "collect", "--all", "--wait", "--timeout", "0.5", "--json"]
    )
    assert ended.exit_code == 75, ended.output
    assert {row["status"] for row in json.loads(ended.stdout)["results"]} == {"queued"}
    assert "devicevault doctor" in ended.stderr


@pytest.mark.services
def test_without_wait_the_command_returns_at_once_and_names_the_run(config: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["--config", str(config), "collect", "sw1", "--json"])
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert told["devices"] == ["sw1"]
    with open_store(f"sqlite:///{tmp_path}/devicevault.db") as store, store.reading() as session:
        assert [row.device for row in reader.run_results(session, told["run_id"])] == ["sw1"]


@pytest.mark.services
def test_ctrl_c_ends_the_waiting_and_says_that_the_workers_go_on(config: Path, tmp_path: Path) -> None:
    ours, its = pty.openpty()  # progress is drawn on terminals only
    process = subprocess.Popen(
        [sys.executable, "-m", "devicevault", "--config", str(config), "collect", "--all", "--wait"],
        env={**os.environ, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=its,
    )
    os.close(its)
    told = b""
    while b"0/2" not in told:
        told += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    while b"The workers go on without you" not in told:
        told += os.read(ours, 4096)  # raises when the process ends without having said so
    process.communicate(timeout=20)
    os.close(ours)
    assert process.returncode == 130
    with open_store(f"sqlite:///{tmp_path}/devicevault.db") as store, store.reading() as session:
        assert [state.latest.status for state in reader.device_states(session) if state.latest] == ["queued"] * 2
