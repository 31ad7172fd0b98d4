"""What every worker leaves in Redis, and what the doctor makes of one that leaves nothing where he looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devicevault.errors import ExitCode
from devicevault.heartbeat import STOPPED, Heartbeat, heartbeats
from devicevault.steering import pause_group
from devicevault.stream import connect_redis
from tests.installation import GROUP, Installation
from tests.servers import RedisServer, wait_until
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

QUEUES = "default,collector.group.dmz,collector.group.test"
PLAIN_CELERY = ("celery", "-A", "devicevault.celery_app", "worker", "-Q", QUEUES, "-l", "info", "--concurrency=4")


def told(redis_url: str) -> list[Heartbeat]:
    with connect_redis(redis_url) as redis:
        return heartbeats(redis)


def test_a_plain_celery_worker_leaves_a_heartbeat_for_all_its_groups(
    tmp_path: Path, redis: RedisServer, redis_url: str
) -> None:
    """A paused one among them: Celery does not consume its queue, and the worker is there for it all the same."""
    host = WorkerHost(tmp_path, redis.database_url(0), redis_url)
    with connect_redis(redis_url) as client:
        pause_group(client, "test", by="a person")
    with host.running(*PLAIN_CELERY) as worker:
        host.send("r1")
        host.results(1)
        wait_until(lambda: bool(told(redis_url)), 30, or_say=host.log)
        (beat,) = told(redis_url)
        assert beat.worker.startswith("celery@")
        assert beat.groups == ("default", "dmz", "test")
        assert (beat.concurrency, beat.results_stream) == (4, "device:results")
        assert "paused by a person" in beat.state
        assert "lab" in beat.credentials
        assert stop(worker) == 0
    (beat,) = told(redis_url)
    assert (beat.state, beat.done) == (STOPPED, 1)


def test_a_worker_on_another_redis_or_another_stream_is_named(
    tmp_path: Path, redis: RedisServer, redis_url: str
) -> None:
    """Requests get to it, and nothing comes back: the vault would wait for its results for ever."""
    vault = Installation(tmp_path / "etc", redis.database_url(0), redis_url, f"sqlite:///{tmp_path}/devicevault.db")
    vault.write_credentials('[credentials.lab]\nusername = "backup"\npassword = "p"\n')
    vault.write_inventory(f'[groups.{GROUP}]\n[devices.r1]\nplatform = "noop"\ngroup = "{GROUP}"\ncredential = "lab"\n')
    vault.ok("keys", "create")
    vault.ok("db", "upgrade")
    vault.environ = {"DEVICEVAULT_REDIS_URL": redis.database_url(5)}
    with vault.running(consumer=False):
        vault.environ = {}
        found = faults(vault)
    assert "takes requests from the broker, and left no heartbeat at " + redis_url in found
    vault.environ = {"DEVICEVAULT_RESULTS_STREAM": "elsewhere"}
    with vault.running(consumer=False):
        wait_until(lambda: bool(told(redis_url)), 30, or_say=lambda: vault.logs)
        vault.environ = {}
        found = faults(vault)
    assert "puts its results into elsewhere; this vault reads device:results" in found
    assert "left no heartbeat" not in found


def faults(vault: Installation) -> str:
    """What the doctor says of the workers' heartbeats."""
    done = vault.run("doctor", "--json")
    assert done.returncode == ExitCode.DEVICES_FAILED, done.stdout + done.stderr
    findings = json.loads(done.stdout)
    return "\n".join(found["text"] for found in findings if found["check"] == "heartbeats")
