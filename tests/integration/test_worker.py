"""Workers as processes of their own, on RabbitMQ and on Redis."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from devicevault import names
from devicevault.celery_app import message_options
from devicevault.daemons.broker_watch import broker_answers
from devicevault.demo.fleet import Fleet, SimulatedDevice
from tests.conftest import started
from tests.servers import RabbitMQServer, RedisServer, rabbitmq_server, redis_server, wait_until
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

WORKER = ("devicevault-worker", "dmz")
PLAIN_CELERY = ("-Q", "default,collector.group.dmz,collector.group.test", "-l", "info", "--concurrency=4")


@pytest.fixture(params=["rabbitmq", "redis"])
def host(request: pytest.FixtureRequest, tmp_path: Path, redis: RedisServer, redis_url: str) -> WorkerHost:
    """A worker's host with either broker, its queues empty."""
    if request.param == "redis":
        return WorkerHost(tmp_path, redis.database_url(0), redis_url)
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq")
    host = WorkerHost(tmp_path, rabbitmq.url, redis_url)
    with host.app.connection_for_write() as connection:
        for queue in ("default", "collector.group.dmz", "collector.group.test"):
            bound = host.app.amqp.queues[queue](connection.default_channel)
            bound.declare()
            bound.purge()
    return host


def test_a_group_worker_collects_real_sessions_and_publishes_each_once(host: WorkerHost) -> None:
    devices = [SimulatedDevice(f"r{number}") for number in range(4)]
    with Fleet(devices) as fleet, host.running(*WORKER) as worker:
        for device in devices:
            host.send(
                device.name,
                platform="cisco_ios",
                address=fleet.address,
                port=fleet.port(device.name),
                credentials=("lab",),
            )
        requests = [host.send(f"n{number}") for number in range(20)]
        results = host.results(24)
        assert stop(worker) == 0
    assert Counter(result.status for result in results) == {"success": 24}
    assert {result.task_id for result in results} >= {request.task_id for request in requests}
    assert [device.logins for device in devices] == [1] * 4
    assert host.waiting() == 0
    assert len(host.results(24)) == 24


@pytest.mark.parametrize("application", ["devicevault.celery_app", "devicevault.daemons.worker"])
def test_the_plain_celery_command_works_too(host: WorkerHost, application: str) -> None:
    with host.running("celery", "-A", application, "worker", *PLAIN_CELERY) as worker:
        groups = ("default", "dmz", "test")
        for group in groups:
            host.send(f"in-{group}", group=group)
        assert {result.group for result in host.results(3)} == set(groups)
        assert stop(worker) == 0
    assert "concurrency: 4 (thread)" in host.log()


def test_a_stopping_worker_finishes_its_session_and_takes_no_other(host: WorkerHost) -> None:
    with host.running(*WORKER, DEVICEVAULT_WORKER__DRAIN_S="15") as worker:
        for number in range(4):
            host.send(f"n{number}", options={"delay_s": 2.5})
        for number in range(4):
            host.wait_for_lock(f"n{number}")
        host.send("later", options={"delay_s": 30})
        assert stop(worker, 30) == 0
    assert Counter(result.status for result in host.results(4)) == {"success": 4}
    assert host.waiting() == 1


def test_ctrl_c_in_a_terminal_is_no_fault(host: WorkerHost) -> None:
    with host.running(*WORKER) as worker:
        host.send("r1")
        assert host.results(1)[0].status == "success"
        worker.send_signal(signal.SIGINT)
        assert worker.wait(30) == 0
    assert "CRITICAL" not in host.log()


def test_a_second_worker_of_one_name_is_refused_in_words(
    tmp_path: Path, rabbitmq: RabbitMQServer, redis_url: str
) -> None:
    host = WorkerHost(tmp_path, rabbitmq.url, redis_url)
    with host.running(*WORKER):
        host.send("r1")
        assert host.results(1)[0].status == "success"
        with host.running(*WORKER) as twin:
            assert twin.wait(30) == 1
    assert "knows a worker of this group on this host already" in host.log()
    assert "Traceback" not in host.log()


def test_a_session_longer_than_the_drain_goes_back_to_the_queue(host: WorkerHost) -> None:
    with host.running(*WORKER) as worker:
        request = host.send("slow", options={"delay_s": 600})
        host.wait_for_lock("slow")
        assert stop(worker) == 0
    assert "back to the queue" in host.log()
    assert "Traceback" not in host.log()
    assert host.waiting() == 1
    assert host.redis.xlen(names.RESULTS_STREAM) == 0
    with host.running(*WORKER):
        # The same request again, and its lock was given back or is taken over.
        host.wait_for_lock("slow")
        assert host.redis.get(names.lock_for("slow")) == request.task_id.encode()


def test_what_a_killed_worker_held_is_collected_by_the_next_one(
    tmp_path: Path, rabbitmq: RabbitMQServer, redis_url: str
) -> None:
    """The lock it left behind is the task's own and no reason to skip the device."""
    host = WorkerHost(tmp_path, rabbitmq.url, redis_url)
    with host.running(*WORKER) as first:
        request = host.send("r1", options={"delay_s": 3})
        host.wait_for_lock("r1")
        first.kill()
    with host.running(*WORKER):
        (result,) = host.results(1)
    assert (result.task_id, result.status) == (request.task_id, "success")


def test_another_task_meeting_a_lock_is_skipped(host: WorkerHost) -> None:
    with host.running(*WORKER):
        first = host.send("r1", options={"delay_s": 60})
        host.wait_for_lock("r1")
        second = host.send("r1")
        (skipped,) = host.results(1)
    assert (skipped.task_id, skipped.status, skipped.error) == (second.task_id, "skipped", "locked")
    assert first.task_id in skipped.error_message


def test_a_person_goes_ahead_of_the_schedule(host: WorkerHost) -> None:
    for number in range(6):
        host.send(f"scheduled-{number}", priority=names.PRIORITY_SCHEDULED)
    host.send("person", priority=names.PRIORITY_PERSON)
    with host.running(*WORKER, DEVICEVAULT_WORKER__CONCURRENCY="1"):
        results = host.results(7)
    assert results[0].device == "person"


def test_what_is_not_worth_doing_or_can_not_be_read_still_ends_in_a_result(host: WorkerHost) -> None:
    with host.running(*WORKER) as worker:
        expired = host.send("late", expires_at=datetime.now(UTC) - timedelta(seconds=1))
        broken = host.send("broken")
        host.results(2)
        host.redis.delete(names.RESULTS_STREAM)
        options = message_options(broken, host.settings) | {"task_id": "unreadable"}
        wire = broken.to_wire() | {"v": 99, "task_id": "unreadable"}
        host.app.send_task(names.TASK_COLLECT, (wire,), ignore_result=True, **options)
        (unreadable,) = host.results(1)
        # Ended before it acknowledges, it would leave the request to the next test.
        assert stop(worker) == 0
    assert (unreadable.task_id, unreadable.device, unreadable.status) == ("unreadable", "broken", "failure")
    assert "same release" in unreadable.error_message
    assert f"late: {'expired'}" in host.log()
    assert expired.expires_at is not None


def test_results_wait_in_the_worker_while_redis_is_away(tmp_path: Path, rabbitmq: RabbitMQServer) -> None:
    """Redis is killed in the middle of a session: the result is published once it is back."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        host = WorkerHost(tmp_path, rabbitmq.url, redis.url)
        with host.running(*WORKER) as worker:
            host.send("r1", options={"delay_s": 2})
            host.wait_for_lock("r1")
            redis.kill()
            wait_until(lambda: "holding on" in host.log(), 30, or_say=host.log)
            redis.start()
            (result,) = host.results(1)
            assert (result.status, result.error_message) == ("success", "")
            wait_until(lambda: "Redis is back" in host.log(), 30, or_say=host.log)
            assert stop(worker) == 0


def test_a_broker_that_dies_in_the_middle_of_a_session_leads_to_no_second_one(tmp_path: Path, redis_url: str) -> None:
    """The acknowledgement is lost with the connection, so the broker delivers the request to the same worker again."""
    (tmp_path / "rabbitmq").mkdir()
    device = SimulatedDevice("r1", delay_s=3)
    with started(rabbitmq_server(tmp_path / "rabbitmq", management=False)) as rabbitmq, Fleet([device]) as fleet:
        host = WorkerHost(tmp_path, rabbitmq.url, redis_url)
        with host.running(*WORKER) as worker:
            host.send("r1", platform="cisco_ios", address=fleet.address, port=fleet.port("r1"), credentials=("lab",))
            host.wait_for_lock("r1")
            rabbitmq.kill()
            rabbitmq.start()
            host.results(1)
            host.send("r2")
            host.results(2, within_s=60)
            assert stop(worker) == 0
        assert host.waiting() == 0
    assert device.logins == 1
    assert len(host.results(2)) == 2
    assert "Traceback" not in host.log()


@pytest.mark.parametrize(
    "command", [WORKER, ("celery", "-A", "devicevault.celery_app", "worker", "-Q", "collector.group.dmz")]
)
def test_credentials_that_others_can_read_end_in_one_line_and_78(host: WorkerHost, command: tuple[str, ...]) -> None:
    host.credentials.chmod(0o644)
    with host.running(*command) as worker:
        assert worker.wait(30) == os.EX_CONFIG
    assert "chmod" in host.log()
    assert "Traceback" not in host.log()


@pytest.mark.parametrize(
    "command", [WORKER, ("celery", "-A", "devicevault.celery_app", "worker", "-Q", "collector.group.dmz")]
)
def test_wrong_settings_end_in_one_line_and_78(host: WorkerHost, command: tuple[str, ...]) -> None:
    with host.running(*command, DEVICEVAULT_WORKER__CONCURRENCY="many") as worker:
        assert worker.wait(30) == os.EX_CONFIG
    assert "DEVICEVAULT_WORKER__CONCURRENCY" in host.log()
    assert "Traceback" not in host.log()


def test_a_worker_knows_a_broker_that_answers_from_one_that_does_not(host: WorkerHost) -> None:
    assert broker_answers(host.app)


def test_systemd_hears_ready_only_from_a_worker_that_consumes(host: WorkerHost) -> None:
    path = host.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(30)
        with host.running(*WORKER, NOTIFY_SOCKET=str(path), WATCHDOG_USEC="3000000") as worker:
            heard = [systemd.recv(4096).decode()]
            while "READY=1" not in heard[-1]:
                heard.append(systemd.recv(4096).decode())
            host.send("r1")
            assert host.results(1)[0].status == "success"
            # Fed after READY as well: the loop turns.
            while heard[-1] != "WATCHDOG=1":
                heard.append(systemd.recv(4096).decode())
            assert stop(worker) == 0
            systemd.settimeout(1)
            while "STOPPING=1" not in heard[-1]:
                heard.append(systemd.recv(4096).decode())
    assert "collecting group dmz" in next(line for line in heard if "READY=1" in line)


def test_without_redis_a_worker_takes_no_task(tmp_path: Path, redis: RedisServer) -> None:
    with Redis.from_url(redis.url) as client:
        client.flushall()
    host = WorkerHost(tmp_path, redis.database_url(0), "redis://127.0.0.1:1/1")
    host.send("r1")
    with host.running(*WORKER):
        wait_until(lambda: "no task is taken" in host.log(), 30, or_say=host.log)
        assert host.waiting() == 1
