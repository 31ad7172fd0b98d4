"""``devicevault doctor`` on real installations that are well, and on those that are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from devicevault.errors import ExitCode
from tests.installation import GROUP, Installation
from tests.servers import RabbitMQServer, RedisServer, free_port, redis_server, wait_until

pytestmark = pytest.mark.services

INVENTORY = f"""
[defaults]
group = "{GROUP}"
platform = "noop"
credential = "lab"
[groups.{GROUP}]
[devices.trial-1]
[devices.trial-2]
"""


def installation(folder: Path, broker_url: str, redis_url: str, **more: Any) -> Installation:
    made = Installation(folder / "etc", broker_url, redis_url, f"sqlite:///{folder}/devicevault.db", **more)
    made.write_credentials('[credentials.lab]\nusername = "backup"\npassword = "Doctor-Canary"\ngroups = ["lab"]\n')
    made.write_inventory(INVENTORY)
    made.ok("keys", "create")
    return made


@pytest.fixture(params=["rabbitmq", "redis"])
def vault(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Installation:
    """An installation on either broker, with two devices that need no network."""
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis")
        return installation(tmp_path, redis.database_url(0), redis_url)
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq")
    return installation(
        tmp_path, rabbitmq.url, redis_url, settings_text=f'broker_api = "{rabbitmq.api_url.rstrip("/")}"'
    )


@pytest.fixture
def redis_only(tmp_path: Path, redis: RedisServer, redis_url: str) -> Installation:
    return installation(tmp_path, redis.database_url(0), redis_url)


def examined(vault: Installation, *, exit_code: int) -> list[dict[str, str]]:
    """Every finding of the doctor, who must end with this exit code."""
    done = vault.run("doctor", "--json")
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    findings: list[dict[str, str]] = json.loads(done.stdout)
    return findings


def those(findings: list[dict[str, str]], state: str) -> dict[str, str]:
    """Text and fix of the findings in this state, by what was looked at."""
    told: dict[str, str] = {}
    for found in findings:
        if found["state"] == state:
            told[found["check"]] = told.get(found["check"], "") + f"{found['text']} → {found['fix']}\n"
    return told


def test_a_healthy_installation_has_nothing_but_good_findings(vault: Installation) -> None:
    with vault.running():
        vault.ok("collect", "--all", "--wait")
        findings = examined(vault, exit_code=ExitCode.DONE)
    assert {found["state"] for found in findings} == {"ok"}, findings
    seen = {found["check"] for found in findings}
    assert seen >= {"settings", "inventory", "credentials", "vault keys", "broker", "workers", "database"}
    assert seen >= {"Redis", "Redis persistence", "consumer", "dead letters", "requests", "platforms"}


def test_a_queue_no_worker_listens_to_is_named_with_what_waits_and_the_command_that_helps(
    vault: Installation,
) -> None:
    with vault.running(groups=()):
        vault.ok("collect", "--all")
        faults = those(examined(vault, exit_code=ExitCode.DEVICES_FAILED), "fault")
    assert set(faults) == {"workers"}
    assert f"queue collector.group.{GROUP}; 2 requests wait there" in faults["workers"]
    assert f"systemctl start devicevault-worker@{GROUP}" in faults["workers"]


def test_a_worker_of_a_paused_group_is_not_taken_for_one_that_is_not_there(redis_only: Installation) -> None:
    with redis_only.running():
        redis_only.ok("pause", GROUP)
        wait_until(
            lambda: "takes no requests" in str(those(json.loads(redis_only.run("doctor", "--json").stdout), "warning")),
            30,
            or_say=lambda: "the worker goes on",
        )
        told = redis_only.run("collect", "--all", "--wait", "--timeout", "1")
        findings = examined(redis_only, exit_code=ExitCode.DONE)
        redis_only.ok("resume", GROUP)
    assert f"systemctl status devicevault-worker@{GROUP}" in those(findings, "warning")["workers"]
    assert f"group {GROUP} is paused by" in told.stderr
    assert f"devicevault resume {GROUP}" in told.stderr


def test_a_worker_of_a_misspelt_group_is_told_which_queue_was_meant(redis_only: Installation) -> None:
    with redis_only.running(groups=("labb",)):
        findings = examined(redis_only, exit_code=ExitCode.DEVICES_FAILED)
    assert "collector.group.labb" in those(findings, "warning")["workers"]
    assert "collector.group.lab" in those(findings, "warning")["workers"].partition("→")[2]


def test_results_that_nobody_reads_are_counted(redis_only: Installation) -> None:
    with redis_only.running(consumer=False):
        redis_only.ok("collect", "--all")
        with Redis.from_url(redis_only.redis_url) as redis:
            last = "0"
            for _ in range(2):
                ((_, ((last, _), *_)),) = redis.xread({"device:results": last}, count=1, block=20_000)
        faults = those(examined(redis_only, exit_code=ExitCode.DEVICES_FAILED), "fault")
    assert set(faults) == {"consumer"}
    assert "2 results wait" in faults["consumer"]
    assert "systemctl start devicevault-consumer" in faults["consumer"]


def test_a_consumer_that_was_there_and_is_gone_is_missed(redis_only: Installation) -> None:
    with redis_only.running():
        redis_only.ok("collect", "--all", "--wait")
    faults = those(examined(redis_only, exit_code=ExitCode.DEVICES_FAILED), "fault")
    assert set(faults) == {"workers", "consumer"}
    assert "no consumer is connected" in faults["consumer"]


def test_dead_letters_are_told_with_the_reason_of_the_newest(redis_only: Installation) -> None:
    with Redis.from_url(redis_only.redis_url) as redis:
        redis.xadd("device:results", {"v": "99"})
    with redis_only.running():
        redis_only.ok("collect", "--all", "--wait")
        faults = those(examined(redis_only, exit_code=ExitCode.DEVICES_FAILED), "fault")
    assert set(faults) == {"dead letters"}
    assert "1 results could not be stored" in faults["dead letters"]
    assert "devicevault deadletter list" in faults["dead letters"]


def test_everything_away_is_told_service_by_service(tmp_path: Path) -> None:
    nobody = free_port()
    url = f"redis://:Doctor-Canary@127.0.0.1:{nobody}"
    vault = installation(tmp_path, f"amqp://u:Doctor-Canary@127.0.0.1:{nobody}//", f"{url}/1")
    vault.ok("db", "upgrade")
    findings = examined(vault, exit_code=ExitCode.UNAVAILABLE)
    assert set(those(findings, "fault")) == {"broker", "Redis"}
    assert set(those(findings, "unknown")) == {"workers", "consumer", "heartbeats"}
    assert "Doctor-Canary" not in json.dumps(findings)


def test_a_broker_that_refuses_the_password_is_not_called_away(
    rabbitmq: RabbitMQServer, tmp_path: Path, redis_url: str
) -> None:
    vault = installation(tmp_path, f"amqp://guest:Doctor-Canary@127.0.0.1:{rabbitmq.port}//", redis_url)
    with vault.running(groups=()):
        broker = those(examined(vault, exit_code=ExitCode.UNAVAILABLE), "fault")["broker"]
        asked = vault.run("collect", "--all")
    assert "refuses access" in broker
    assert "correct user, password and virtual host" in broker
    assert asked.returncode == ExitCode.UNAVAILABLE
    assert "refuses access" in asked.stderr
    assert "correct user, password and virtual host" in asked.stderr
    assert "Doctor-Canary" not in broker


def test_a_redis_broker_that_refuses_the_password_is_not_called_away(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as guarded:
        with Redis.from_url(guarded.url) as client:
            client.config_set("requirepass", "the right one")
        vault = installation(tmp_path, f"redis://:Doctor-Canary@127.0.0.1:{guarded.port}/0", redis_url)
        with vault.running(groups=()):
            broker = those(examined(vault, exit_code=ExitCode.UNAVAILABLE), "fault")["broker"]
            asked = vault.run("collect", "--all")
    assert "refuses access" in broker
    assert "correct user, password" in broker
    assert "refuses access" in asked.stderr
    assert "correct user, password" in asked.stderr
    assert "Doctor-Canary" not in broker


def test_a_missing_management_plugin_is_a_warning_with_the_command_that_enables_it(
    rabbitmq: RabbitMQServer, tmp_path: Path, redis_url: str
) -> None:
    api = f'broker_api = "http://guest:guest@127.0.0.1:{free_port()}/api/"'
    vault = installation(tmp_path, rabbitmq.url, redis_url, settings_text=api)
    with vault.running():
        vault.ok("collect", "--all", "--wait")
        findings = examined(vault, exit_code=ExitCode.DONE)
    assert "rabbitmq-plugins enable rabbitmq_management" in those(findings, "warning")["management API"]


def test_wrong_settings_end_the_examination_with_every_fault(tmp_path: Path, redis_url: str) -> None:
    vault = installation(tmp_path, "redis://127.0.0.1/0", redis_url)
    vault.config.write_text('borker_url = "x"\nresults_stream = ""\n')
    findings = examined(vault, exit_code=ExitCode.CONFIGURATION)
    assert [found["state"] for found in findings] == ["fault", "fault", "unknown"]


def test_an_inventory_with_faults_does_not_hide_the_rest(redis_only: Installation) -> None:
    redis_only.write_inventory("[devices.a]\nplatform = 'nooop'\n[devices.b]\ncredential = 'nobody'\n")
    with redis_only.running():
        findings = examined(redis_only, exit_code=ExitCode.CONFIGURATION)
    assert "did you mean" in those(findings, "fault")["inventory"]
    assert {"broker", "Redis", "consumer", "database"} <= set(those(findings, "ok"))
