"""``devicevault collect --scheduled``, as the timer's unit runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.installation import GROUP, Installation
from tests.servers import RedisServer, free_port

pytestmark = pytest.mark.services


@pytest.fixture
def vault(tmp_path: Path, redis: RedisServer, redis_url: str, sqlite_url: str) -> Installation:
    """DeviceVault with a group of two devices, one of which nobody can reach, and a group of that one alone."""
    installation = Installation(
        tmp_path / "etc", redis.database_url(0), redis_url, sqlite_url, settings_text="[ssh]\nattempts = 1\n"
    )
    away = f'address = "127.0.0.1"\nport = {free_port()}\nplatform = "frr"\n'
    installation.write_inventory(
        f"[groups.{GROUP}]\n[groups.remote]\n"
        f'[devices.good]\nplatform = "noop"\ngroup = "{GROUP}"\noptions.text = "hostname good\\nend\\n"\n'
        f'[devices.away]\n{away}group = "{GROUP}"\n[devices.alone]\n{away}group = "remote"\n'
    )
    installation.write_credentials('[credentials.default]\nusername = "backup"\npassword = "secret"\n')
    installation.ok("keys", "create")
    return installation


def test_no_backup_at_all_has_an_exit_code_of_its_own_and_some_failures_have_none(vault: Installation) -> None:
    with vault.running(groups=(GROUP, "remote")):
        some = vault.run("collect", "--scheduled", "--group", GROUP)
        none = vault.run("collect", "--scheduled", "--group", "remote")
    assert some.returncode == 0, some.stderr + vault.logs
    assert "2 devices: 1 success, 1 failure" in some.stdout
    assert none.returncode == 3, none.stderr + vault.logs
    assert "no device at all was backed up" in none.stderr
    assert {(run["kind"], run["asked_by"]) for run in vault.json("runs")} == {("scheduled", "timer")}
    assert vault.json("history", "good")["results"][0]["status"] == "success"


def test_a_broker_that_is_away_is_told_by_the_exit_code_that_says_try_again(vault: Installation) -> None:
    vault.config.write_text(vault.config.read_text().replace(vault.broker_url, f"redis://127.0.0.1:{free_port()}/0"))
    ended = vault.run("collect", "--scheduled", "--group", GROUP)
    assert ended.returncode == 75
    assert "broker" in ended.stderr
    assert vault.json("runs") == []
