"""Celery's configuration, from ours."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from devicevault import names
from devicevault.celery_app import Application, configuration, message_options
from devicevault.declared_queues import DELIVERY_LIMIT
from devicevault.messages import CollectRequest
from devicevault.settings import QueueSettings, Settings, WorkerSettings

AMQP = Settings(broker_url="amqp://guest:guest@localhost:5672//")
REDIS = Settings(broker_url="redis://localhost:6379/0", queue=QueueSettings(redis_visibility_timeout_s=900))


def request(**fields: object) -> CollectRequest:
    known = {"task_id": "t", "device_id": "r1", "device": "r1", "platform": "noop", "requested_at": datetime.now(UTC)}
    return CollectRequest.model_validate(known | fields)


def test_only_json_is_taken_and_nothing_is_acknowledged_early() -> None:
    app = Application("test")
    app.use(AMQP)
    assert app.conf.accept_content == ["json"]
    assert (app.conf.task_acks_late, app.conf.task_ignore_result, app.conf.worker_prefetch_multiplier) == (
        True,
        True,
        1,
    )
    assert app.conf.broker_transport_options["confirm_publish"] is True
    assert app.conf.broker_connection_max_retries is None


def test_every_queue_is_durable_and_has_priorities_from_the_start() -> None:
    app = Application("test")
    app.use(AMQP)
    queue = app.amqp.queues["collector.group.dmz"]
    assert queue.durable
    assert queue.queue_arguments == {"x-max-priority": names.QUEUE_MAX_PRIORITY}


def test_a_redis_broker_waits_as_long_as_the_settings_say() -> None:
    assert configuration(REDIS)["broker_transport_options"]["visibility_timeout"] == 900


@pytest.mark.parametrize("settings", [AMQP, REDIS])
def test_a_persons_request_is_the_more_urgent_on_either_broker(settings: Settings) -> None:
    person = message_options(request(priority=names.PRIORITY_PERSON), settings)["priority"]
    scheduled = message_options(request(priority=names.PRIORITY_SCHEDULED), settings)["priority"]
    # RabbitMQ takes the highest number first, kombu's Redis the lowest.
    assert person > scheduled if settings.has_amqp_broker else person < scheduled


def test_a_request_goes_to_its_groups_queue_under_its_own_id() -> None:
    options = message_options(request(group="dmz"), AMQP)
    assert (options["queue"], options["task_id"]) == ("collector.group.dmz", "t")
    assert message_options(request(), AMQP)["queue"] == "default"


def test_other_settings_take_the_place_of_those_in_use() -> None:
    app = Application("test")
    for concurrency in (3, 5):
        app.use(Settings(worker=WorkerSettings(concurrency=concurrency)))
        assert app.amqp.queues["default"].name == "default"
        assert app.conf.worker_concurrency == concurrency


def test_importing_the_application_reads_no_settings() -> None:
    code = "import devicevault.celery_app, devicevault.daemons.worker"
    environ = {"DEVICEVAULT_CONFIG": "/does/not/exist", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_quorum_queue_is_declared_as_any_rabbitmq_takes_it() -> None:
    """No priorities, which RabbitMQ refuses; and no limit at which it would throw requests away."""
    app = Application("test")
    app.use(AMQP.model_copy(update={"queue": QueueSettings(type="quorum")}))
    for name in (names.DEFAULT_QUEUE, "collector.group.dmz"):
        queue = app.amqp.queues[name]
        assert queue.durable
        assert queue.queue_arguments == {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    app.use(AMQP)
    assert app.amqp.queues[names.DEFAULT_QUEUE].queue_arguments == {"x-max-priority": names.QUEUE_MAX_PRIORITY}
