"""A worker of several processes: it collects, reloads, stops and fails as one, and loses no more than one of them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from devicevault import names
from devicevault.errors import ExitCode
from devicevault.heartbeat import Heartbeat, heartbeats
from tests.bench.cost import children_of
from tests.servers import RabbitMQServer, RedisServer, wait_until
from tests.systemd import Listener, systemd
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

WITHIN_S = 60
WORKER = ("devicevault-worker", "dmz")
NODES = [f"dmz.{number}@{os.uname().nodename}" for number in (1, 2)]


@pytest.fixture
def host(tmp_path: Path, rabbitmq: RabbitMQServer, redis_url: str) -> WorkerHost:
    return WorkerHost(tmp_path, rabbitmq.url, redis_url, extra="processes = 2\n")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with systemd(tmp_path) as listening:
        yield listening


def known(host: WorkerHost) -> list[Heartbeat]:
    with Redis.from_url(host.redis_url) as redis:
        return heartbeats(redis)


def wait_for_another(host: WorkerHost, node: str, since: datetime) -> None:
    """Until a process of this name is ready that was started after that time."""
    wait_until(
        lambda: any(beat.worker == node and beat.started_at > since for beat in known(host)), WITHIN_S, or_say=host.log
    )


def rewrite(host: WorkerHost, old: str, new: str) -> None:
    text = host.config.read_text()
    assert old in text
    host.config.write_text(text.replace(old, new))


def reload(worker: subprocess.Popen[bytes], listener: Listener) -> str:
    worker.send_signal(signal.SIGHUP)
    assert "\nMONOTONIC_USEC=" in listener.wait_for("RELOADING=1", WITHIN_S)
    return listener.wait_for("READY=1", WITHIN_S)


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_all_processes_collect_and_are_ready_tell_and_stop_as_one(
    host: WorkerHost, listener: Listener, redis: RedisServer, kind: str
) -> None:
    if kind == "redis":
        rewrite(host, host.broker_url, redis.database_url(0))
        host = WorkerHost(host.folder, redis.database_url(0), host.redis_url, host.extra)
    for before in ("dmz@elsewhere", f"dmz@{os.uname().nodename}"):
        host.redis.hset(names.WORKERS, before, "{}")
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        ready = listener.wait_for("READY=1", WITHIN_S)
        assert "4 sessions at once in 2 processes: 0 in flight" in ready
        assert not any("READY=1" in told for told in listener.heard[:-1])
        for number in range(4):
            host.send(f"slow{number}", options={"delay_s": 8})
        # No process has room for more than two.
        for number in range(4):
            host.wait_for_lock(f"slow{number}")
        listener.wait_for(": 4 in flight, 0 stuck, 0 done, 0 failed", WITHIN_S)
        wait_until(lambda: [beat.worker for beat in known(host)] == NODES, WITHIN_S, or_say=host.log)
        assert [beat.concurrency for beat in known(host)] == [2, 2]
        assert {result.status for result in host.results(4)} == {"success"}
        host.send("bad", platform="no_such_platform")
        listener.wait_for(": 0 in flight, 0 stuck, 5 done, 1 failed", WITHIN_S)
        assert stop(worker, WITHIN_S) == 0, host.log()
    assert {beat.state for beat in known(host)} == {"stopped"}
    # A worker of one process, which ran here before, is not told as gone.
    remembered: Any = host.redis.hkeys(names.WORKERS)
    assert {name.decode() for name in remembered} == {"dmz@elsewhere", *NODES}
    assert "Traceback" not in host.log()


def test_a_stopping_worker_lets_every_session_finish(host: WorkerHost, listener: Listener) -> None:
    rewrite(host, "drain_s = 2", "drain_s = 20")
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        for number in range(4):
            host.send(f"slow{number}", options={"delay_s": 8})
        listener.wait_for("4 in flight", WITHIN_S)
        host.send("later")
        worker.send_signal(signal.SIGTERM)
        listener.wait_for("STOPPING=1", WITHIN_S)
        assert worker.wait(WITHIN_S) == 0, host.log()
    assert len(host.results(4)) == 4
    assert host.waiting() == 1


def test_a_reload_reaches_all_and_a_wrong_file_none(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        good = host.credentials.read_text()
        host.credentials.write_text(good + "\n[credentials.broken]\nusrname = 1\n")
        assert "not reloaded" in reload(worker, listener)
        assert host.log().count("usrname") == 1
        host.credentials.write_text(good)
        rewrite(host, "drain_s = 2\nprocesses = 2", "drain_s = 3\nprocesses = 3")
        assert "not reloaded" not in reload(worker, listener)
        assert host.log().count("reloaded; changed settings: worker.drain_s") == 2
        assert "worker.processes has a new value, which counts after a restart only" in host.log()
        assert len(children_of(worker.pid)) == 2
        assert stop(worker, WITHIN_S) == 0, host.log()


def test_a_killed_process_is_started_again_and_its_tasks_are_done(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        for number in range(4):
            host.send(f"slow{number}", options={"delay_s": 4})
            host.wait_for_lock(f"slow{number}")
        killed, spared = children_of(worker.pid)
        since = datetime.now(UTC)
        os.kill(killed, signal.SIGKILL)
        results = host.results(4, within_s=60)
        assert len({result.task_id for result in results}) == 4
        assert {result.status for result in results} == {"success"}
        wait_for_another(host, NODES[0], since)
        assert spared in children_of(worker.pid)
        assert "process 1 of 2 ended (SIGKILL), its tasks go back to the queue" in host.log()
        assert stop(worker, WITHIN_S) == 0, host.log()


def test_a_frozen_process_is_killed_and_the_other_goes_on(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path), WATCHDOG_USEC="8000000") as worker:
        listener.wait_for("READY=1", WITHIN_S)
        spared, frozen = children_of(worker.pid)
        since = datetime.now(UTC)
        os.kill(frozen, signal.SIGSTOP)
        wait_until(lambda: is_gone(frozen), WITHIN_S, or_say=host.log)
        assert "process 2 of 2 is killed: no progress for 8 s" in host.log()
        listener.wait_for("WATCHDOG=1", WITHIN_S)
        wait_for_another(host, NODES[1], since)
        assert spared in children_of(worker.pid)
        assert stop(worker, WITHIN_S) == 0, host.log()


def test_a_killed_supervisor_leaves_nobody_behind(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        children = children_of(worker.pid)
        os.kill(children[0], signal.SIGSTOP)
        worker.kill()
        wait_until(lambda: all(map(is_gone, children)), WITHIN_S, or_say=host.log)


def test_when_every_process_ends_the_worker_does_and_systemd_decides(host: WorkerHost, listener: Listener) -> None:
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        for pid in children_of(worker.pid):
            os.kill(pid, signal.SIGKILL)
        assert worker.wait(WITHIN_S) == ExitCode.DEVICES_FAILED


def test_wrong_files_end_it_with_78_and_are_told_once(host: WorkerHost, listener: Listener) -> None:
    host.credentials.write_text("[credentials.broken]\nusrname = 1\n")
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        assert worker.wait(WITHIN_S) == ExitCode.CONFIGURATION
    assert "credentials.broken: has no username" in listener.wait_for("STOPPING=1", WITHIN_S)
    assert host.log().count("credentials.broken: has no username") == 1
    assert "Traceback" not in host.log()
    rewrite(host, "processes = 2", "processes = 65")
    with host.running(*WORKER) as worker:
        assert worker.wait(WITHIN_S) == ExitCode.CONFIGURATION
    assert "must be at most 64, not 65" in host.log()


def test_services_that_stay_away_end_it_with_75(tmp_path: Path, listener: Listener, redis: RedisServer) -> None:
    host = WorkerHost(tmp_path, redis.database_url(0), "redis://127.0.0.1:1/1", extra="processes = 2\n")
    rewrite(host, "drain_s = 2", "start_timeout_s = 5")
    with host.running(*WORKER, NOTIFY_SOCKET=str(listener.path)) as worker:
        assert "127.0.0.1:1" in listener.wait_for("STATUS=waiting: ", WITHIN_S)
        assert worker.wait(WITHIN_S) == os.EX_TEMPFAIL
    assert "Traceback" not in host.log()
