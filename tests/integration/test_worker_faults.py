"""Workers under faults, on RabbitMQ and on Redis: nothing lost, nothing done twice, and the operator told."""

from __future__ import annotations

import socket
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devicevault import names, steering
from devicevault.celery_app import message_options
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectRequest
from devicevault.settings.schema import VaultSettings
from devicevault.vault_keys import create_keys
from tests.servers import RabbitMQServer, RedisServer, wait_until
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

WORKER = ("devicevault-worker", "dmz")
#: Redis as broker gives what a dead worker held to another one within seconds.
SHORT = """
[ssh]
connect_timeout_s = 2
deadline_s = 4
attempts = 1
[queue]
redis_visibility_timeout_s = 7
"""


@pytest.fixture(params=["rabbitmq", "redis"])
def broker_url(request: pytest.FixtureRequest, redis: RedisServer, redis_url: str) -> str:
    """Either broker."""
    if request.param == "redis":
        return redis.database_url(0)
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq")
    return rabbitmq.url


@pytest.fixture
def host(broker_url: str, tmp_path: Path, redis_url: str) -> WorkerHost:
    return made(tmp_path, broker_url, redis_url)


def made(folder: Path, broker_url: str, redis_url: str, extra: str = "") -> WorkerHost:
    """A worker's host whose queue is empty."""
    host = WorkerHost(folder, broker_url, redis_url, extra)
    with host.app.connection_for_write() as connection:
        queue = host.app.amqp.queues[names.queue_for("dmz")](connection.default_channel)
        queue.declare()
        queue.purge()
    return host


def to_device(fleet: Fleet, name: str) -> dict[str, Any]:
    """What a request for one of the fleet's devices says."""
    return {
        "platform": fleet[name].platform,
        "address": fleet.address,
        "port": fleet.port(name),
        "credentials": ("lab",),
    }


def log_says(host: WorkerHost, text: str, within_s: float = 30) -> None:
    wait_until(lambda: text in host.log(), within_s, or_say=host.log)


def test_a_paused_group_begins_nothing_and_goes_on_by_itself(host: WorkerHost) -> None:
    steering.pause_group(host.redis, "dmz", by="alice")
    with host.running(*WORKER) as worker:
        log_says(host, "nothing new is begun: paused by alice")
        requests = [host.send(f"n{number}") for number in range(8)]
        # A worker that consumed would have them all within a second.
        with pytest.raises(AssertionError):
            host.results(1, within_s=2)
        assert host.waiting() == 8
        steering.resume_group(host.redis, "dmz")
        results = host.results(8)
        assert stop(worker) == 0
    assert {result.task_id for result in results} == {request.task_id for request in requests}
    assert Counter(result.status for result in results) == {"success": 8}
    assert host.waiting() == 0


def test_systemctl_status_tells_that_the_group_is_paused(host: WorkerHost) -> None:
    path = host.folder / "notify"
    steering.pause_group(host.redis, "dmz", by="alice")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(30)
        with host.running(*WORKER, NOTIFY_SOCKET=str(path)):
            while "paused by alice" not in systemd.recv(4096).decode():
                pass


def test_a_pause_lets_sessions_finish_and_leaves_the_rest_in_the_queue(host: WorkerHost) -> None:
    """Four sessions at once; what the worker had in hand besides goes back."""
    with host.running(*WORKER) as worker:
        for number in range(4):
            host.send(f"n{number}", options={"delay_s": 4})
        for number in range(4, 9):
            host.send(f"n{number}")
        for number in range(4):
            host.wait_for_lock(f"n{number}")
        steering.pause_group(host.redis, "dmz", by="alice")
        log_says(host, "paused by alice")
        assert {result.device for result in host.results(4)} == {f"n{number}" for number in range(4)}
        wait_until(lambda: host.waiting() == 5, 15, or_say=lambda: f"{host.waiting()} of 5\n{host.log()}")
        assert len(host.results(4)) == 4
        steering.resume_group(host.redis, "dmz")
        host.results(9)
        assert stop(worker) == 0
    assert Counter(result.status for result in host.results(9)) == {"success": 9}
    assert "Traceback" not in host.log()


def test_a_cancelled_task_ends_without_a_session(host: WorkerHost) -> None:
    device = SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        request = host.send("r1", **to_device(fleet, "r1"))
        steering.cancel_tasks(host.redis, [request.task_id], keep_s=60)
        with host.running(*WORKER):
            (result,) = host.results(1)
    assert (result.task_id, result.status, result.error) == (request.task_id, "cancelled", "")
    assert device.logins == 0


def test_a_device_asked_for_again_while_it_waits_is_collected_once(host: WorkerHost) -> None:
    """Each time one more message of the same task goes out; the first one worked on does the task."""
    device = SimulatedDevice("r1", delay_s=1)
    with Fleet([device]) as fleet:
        request = host.send("r1", **to_device(fleet, "r1"))
        for repeat in (1, 2):
            again(host, request, repeat)
        with host.running(*WORKER) as worker:
            host.results(1)
            # At once, and after the result is in the stream.
            again(host, request, 3)
            host.send("last")
            host.results(2)
            assert stop(worker) == 0
    assert device.logins == 1
    assert Counter(result.device for result in host.results(2)) == {"r1": 1, "last": 1}
    assert host.waiting() == 0


def again(host: WorkerHost, request: CollectRequest, repeat: int) -> None:
    """One more message of the same task."""
    repeated = request.model_copy(update={"repeat": repeat})
    options = message_options(repeated, host.settings)
    host.app.send_task(names.TASK_COLLECT, (repeated.to_wire(),), ignore_result=True, **options)


def test_a_task_whose_worker_was_killed_in_session_ends_as_a_success(
    tmp_path: Path, broker_url: str, redis_url: str
) -> None:
    """Not as `locked`: the lock the dead worker left is the task's own."""
    host = made(tmp_path, broker_url, redis_url, SHORT)
    device = SimulatedDevice("r1", delay_s=0.5)
    with Fleet([device]) as fleet:
        with host.running(*WORKER) as first:
            request = host.send("r1", **to_device(fleet, "r1"))
            host.wait_for_lock("r1")
            first.kill()
        with host.running(*WORKER):
            (result,) = host.results(1, within_s=40)
    assert (result.task_id, result.status) == (request.task_id, "success")


def was_begun(host: WorkerHost, task_id: str, times: int) -> bool:
    return int(host.redis.get(names.BEGUN_PREFIX + task_id) or 0) == times


def test_a_task_that_kills_its_worker_is_given_up_and_the_innocent_are_done(
    tmp_path: Path, broker_url: str, redis_url: str
) -> None:
    host = made(tmp_path, broker_url, redis_url, SHORT + "[groups.dmz.worker]\nmax_deliveries = 3\n")
    culprit = host.send("culprit", options={"delay_s": 20}).task_id
    host.send("innocent", options={"delay_s": 1})
    # Begun side by side, the innocent may die with the culprit; the third time each has its own turn.
    for times in range(1, 4):
        with host.running(*WORKER) as worker:
            wait_until(partial(was_begun, host, culprit, times), 40, or_say=host.log)
            worker.kill()
            worker.wait()
        host.redis.delete(names.lock_for("culprit"))
    with host.running(*WORKER):
        results = {result.device: result for result in host.results(2, within_s=60)}
    assert (results["culprit"].status, results["culprit"].error) == ("failure", "internal")
    assert "3 times a worker died" in results["culprit"].error_message
    assert results["innocent"].status == "success"


def test_a_wrong_password_stops_before_the_account_is_locked(host: WorkerHost) -> None:
    """Counted over the whole group; lifted when the entry in the credentials file changes, or by `resume`."""
    key = host.folder / "vault.digest"
    create_keys(VaultSettings(public_key=host.folder / "pub", private_key=host.folder / "key", digest_key=key))
    devices = [SimulatedDevice(f"r{number}", password="changed") for number in range(8)]
    with Fleet(devices) as fleet:
        environ = {"DEVICEVAULT_SSH__MAX_REFUSED_LOGINS": "3", "DEVICEVAULT_WORKER__CONCURRENCY": "1"}
        environ["DEVICEVAULT_VAULT__DIGEST_KEY"] = str(key)
        with host.running(*WORKER, **environ) as worker:
            for device in devices:
                host.send(device.name, **to_device(fleet, device.name))
            results = host.results(8)
            assert stop(worker) == 0
        assert Counter(result.error for result in results) == {"auth": 3, "credential": 5}
        assert sum(device.refusals for device in devices) == 3
        assert "devicevault resume dmz" in results[-1].error_message
        assert "is used there no more" in host.log()
        host.credentials.write_text(host.credentials.read_text().replace("correct horse", "changed"))
        with host.running(*WORKER, **environ):
            host.send("r7", **to_device(fleet, "r7"))
            assert host.results(9)[-1].status == "success"
        host.credentials.write_text(host.credentials.read_text().replace("changed", "correct horse"))
        with host.running(*WORKER, **environ):
            host.send("r6", **to_device(fleet, "r6"))
            assert host.results(10)[-1].error == "credential"
            assert steering.refused_logins(host.redis, "dmz") == {"lab": 3}
            steering.resume_group(host.redis, "dmz")
            host.send("r6", **to_device(fleet, "r6"))
            assert host.results(11)[-1].error == "auth"
