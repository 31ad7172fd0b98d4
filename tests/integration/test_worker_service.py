"""A worker as systemd and the vault see it: reload, live status, heartbeats, the watchdog, a start without services."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

import devicevault
from devicevault import names
from devicevault.heartbeat import Heartbeat, heartbeats
from devicevault.platforms.loader import PACKAGE_PAGES
from devicevault.settings import VaultSettings
from devicevault.vault_keys import create_keys
from tests.servers import RedisServer, wait_until
from tests.systemd import Listener, systemd
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

WORKER = ("devicevault-worker", "dmz")


@pytest.fixture
def host(tmp_path: Path, redis: RedisServer, redis_url: str) -> WorkerHost:
    return WorkerHost(tmp_path, redis.database_url(0), redis_url)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with systemd(tmp_path) as listening:
        yield listening


def rewrite(host: WorkerHost, old: str, new: str) -> None:
    text = host.config.read_text()
    assert old in text
    host.config.write_text(text.replace(old, new))


def reload(worker: subprocess.Popen[bytes], listener: Listener) -> str:
    """Does what `systemctl reload` does; what the worker tells when it is ready again."""
    worker.send_signal(signal.SIGHUP)
    told = listener.wait_for("RELOADING=1")
    assert "\nMONOTONIC_USEC=" in told, "both belong in one datagram"
    return listener.wait_for("READY=1")


def test_a_reload_takes_new_settings_credentials_and_pages_into_force(host: WorkerHost, listener: Listener) -> None:
    pages = host.folder / "platforms"
    pages.mkdir()
    host.config.write_text(f'platforms_dir = "{pages}"\n' + host.config.read_text())
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1")
        host.send("before", options={"delay_s": 2})
        host.wait_for_lock("before")
        (pages / "acme.toml").write_text((PACKAGE_PAGES / "noop.toml").read_text())
        with host.credentials.open("a") as credentials:
            credentials.write('\n[credentials.second]\nusername = "u"\npassword = "p"\n')
        rewrite(host, "drain_s = 2", "drain_s = 3")
        reload(worker, listener)
        assert worker.poll() is None
        host.send("after", platform="acme")
        results = {result.device: result for result in host.results(2)}
        assert stop(worker) == 0
    assert {result.status for result in results.values()} == {"success"}, host.log()
    assert host.log().count("dmz@") == 1, "the worker was executed anew"
    assert "reloaded; changed settings: worker.drain_s" in host.log()
    told = known(host)
    assert "second" in told.credentials
    assert "acme" in told.platforms


def test_a_wrong_file_changes_nothing_and_says_so_until_it_is_mended(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1")
        good = host.credentials.read_text()
        host.credentials.write_text(good + "\n[credentials.broken]\nusrname = 1\n")
        assert "not reloaded" in reload(worker, listener)
        assert "usrname" in host.log()
        host.send("r1")
        assert host.results(1)[0].status == "success"
        host.credentials.write_text(good)
        assert "not reloaded" not in reload(worker, listener)
        rewrite(host, "concurrency = 4", 'concurrency = "many"')
        assert "worker.concurrency" in reload(worker, listener)
        assert stop(worker) == 0
    assert "Traceback" not in host.log()


def test_what_needs_a_restart_is_named_and_keeps_its_value(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1")
        rewrite(host, "concurrency = 4", "concurrency = 7")
        reload(worker, listener)
        assert "worker.concurrency has a new value, which counts after a restart only" in host.log()
        assert known(host).concurrency == 4
        assert stop(worker) == 0


def test_the_status_line_and_the_heartbeat_tell_what_the_worker_does(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1")
        host.send("good")
        host.send("bad", platform="no_such_platform")
        host.results(2)
        host.send("slow", options={"delay_s": 60})
        host.wait_for_lock("slow")
        listener.wait_for("1 in flight, 0 stuck, 2 done, 1 failed")
        beat = known(host)
        assert (beat.groups, beat.version, beat.concurrency) == (("dmz",), devicevault.__version__, 4)
        assert "lab" in beat.credentials
        assert beat.key_id == "plain"
        assert "cisco_ios" in beat.platforms
        stop(worker)
    assert known(host).state == "stopped"
    raw: Any = host.redis.hgetall(names.WORKERS)
    assert b"secret" not in b"".join(raw.values())


@pytest.mark.parametrize("away", ["Redis", "broker"])
def test_a_worker_whose_services_stay_away_says_for_what_it_waits_and_ends_with_75(
    tmp_path: Path, listener: Listener, redis: RedisServer, away: str
) -> None:
    nowhere = "redis://127.0.0.1:1/1"
    host = WorkerHost(
        tmp_path,
        nowhere if away == "broker" else redis.database_url(0),
        nowhere if away == "Redis" else redis.url,
    )
    rewrite(host, "drain_s = 2", "start_timeout_s = 5")
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        assert "127.0.0.1:1" in listener.wait_for("STATUS=waiting: ")
        assert worker.wait(60) == os.EX_TEMPFAIL
    assert "Traceback" not in host.log()
    assert not any("READY=1" in told for told in listener.heard)


def test_a_worker_started_together_with_the_vault_waits_for_the_keys_that_are_being_made(
    host: WorkerHost, listener: Listener
) -> None:
    keys = {name: host.folder / f"vault.{name}" for name in ("public_key", "private_key", "digest_key")}
    places = "".join(f'{name} = "{path}"\n' for name, path in keys.items())
    rewrite(host, 'originals = "plain"', f'originals = "sealed"\n{places}')
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("STATUS=waiting for the vault's keys")
        made = create_keys(VaultSettings(**keys))
        listener.wait_for("READY=1")
        assert known(host).key_id == made
        assert stop(worker) == 0


def test_a_frozen_worker_feeds_no_watchdog_and_its_task_is_done_by_the_next(
    tmp_path: Path, listener: Listener, rabbitmq: Any, redis_url: str
) -> None:
    host = WorkerHost(tmp_path, rabbitmq.url, redis_url)
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path), WATCHDOG_USEC="3000000") as worker:
        listener.wait_for("READY=1")
        request = host.send("r1", options={"delay_s": 4})
        host.wait_for_lock("r1")
        worker.send_signal(signal.SIGSTOP)
        assert listener.is_silent_for(4), "systemd kills it after WatchdogSec"
        worker.kill()
    with host.running(*WORKER):
        (result,) = host.results(1)
    assert (result.task_id, result.status) == (request.task_id, "success")


def known(host: WorkerHost) -> Heartbeat:
    """The one worker, once it was heard of."""
    with Redis.from_url(host.redis_url) as redis:
        wait_until(lambda: bool(heartbeats(redis)), 30, or_say=host.log)
        (found,) = heartbeats(redis)
    return found
