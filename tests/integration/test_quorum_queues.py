"""Quorum queues: nothing a classic queue does is missing but priorities, and a wrong type is told in words."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from devicevault.celery_app import Application
from devicevault.doctor import Finding, State, broker
from devicevault.inventory import Device, Inventory
from devicevault.queues import waiting_requests
from devicevault.settings import QueueSettings, Settings
from tests.servers import RabbitMQServer
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

QUORUM = '[queue]\ntype = "quorum"\n'


@pytest.fixture
def group() -> str:
    """A group of this test: on the node that all tests share, a queue's type is for ever."""
    return f"agreed-{uuid.uuid4().hex}"


@pytest.fixture
def queue(group: str) -> str:
    return f"collector.group.{group}"


@pytest.fixture
def host(rabbitmq: RabbitMQServer, redis_url: str, tmp_path: Path) -> WorkerHost:
    return WorkerHost(tmp_path, rabbitmq.url, redis_url, QUORUM)


def test_requests_are_sent_taken_and_acknowledged(
    host: WorkerHost, rabbitmq: RabbitMQServer, group: str, queue: str
) -> None:
    sent = {host.send(f"n{number}", group=group).task_id for number in range(20)}
    assert waiting_requests(host.settings, [queue]) == {queue: 20}
    with host.running("devicevault-worker", group) as worker:
        results = host.results(20)
        assert stop(worker) == 0
    assert {result.task_id for result in results} == sent
    assert {result.status for result in results} == {"success"}
    assert waiting_requests(host.settings, [queue]) == {queue: 0}
    told = rabbitmq.ctl("list_queues", "name", "type", "--no-table-headers")
    assert f"{queue}\tquorum" in told
    # Nothing is declared that nobody needs: no request is ever put off.
    assert "celery_delayed" not in told


def test_what_a_killed_worker_held_goes_to_the_next(host: WorkerHost, group: str) -> None:
    with host.running("devicevault-worker", group) as first:
        held = host.send("n0", group=group, options={"delay_s": 5})
        for number in range(1, 4):
            host.send(f"n{number}", group=group)
        host.wait_for_lock("n0")
        host.results(3)
        first.kill()
        first.wait()
    with host.running("devicevault-worker", group):
        results = host.results(4)
    assert [result.task_id for result in results].count(held.task_id) == 1


def test_a_worker_says_that_the_queue_is_of_another_type(host: WorkerHost, group: str, queue: str) -> None:
    declare(host, queue, "classic")
    with host.running("devicevault-worker", group) as worker:
        assert worker.wait(60) == 1
    log = host.log()
    assert "the broker refuses the queue: it is there with other arguments, which can't be changed" in log
    assert f"rabbitmqctl delete_queue {queue}" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("there", ["classic", "quorum"])
def test_doctor_says_what_to_do_about_a_queue_of_another_type(
    host: WorkerHost, group: str, queue: str, there: str, tmp_path: Path
) -> None:
    declare(host, queue, there)
    device = Device(device_id="n0", name="n0", address="192.0.2.1", platform="noop", group=group)
    inventory = Inventory(tmp_path, [device])

    def faults(kind: str) -> list[Finding]:
        found = broker.look(settings_of(host, kind), inventory)
        return [one for one in found if one.state is State.FAULT and one.check == "broker"]

    (fault,) = faults("quorum" if there == "classic" else "classic")
    assert f"queue {queue} can't be used: it is there with other arguments" in fault.text
    assert fault.fix.startswith("set queue.type back, or stop the group's workers once it is empty")
    assert faults(there) == []


def declare(host: WorkerHost, queue: str, kind: str) -> None:
    """As whoever has these settings."""
    app = Application("other")
    app.use(settings_of(host, kind))
    with app.connection_for_write() as connection:
        app.amqp.queues[queue](connection.default_channel).declare()


def settings_of(host: WorkerHost, kind: str) -> Settings:
    return host.settings.model_copy(update={"queue": QueueSettings.model_validate({"type": kind})})
