"""From devices to queued requests, with real brokers: rows first, one message each, the truth about refused ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devicevault import names
from devicevault.celery_app import Application
from devicevault.dispatch import INTERRUPTED, build_request, dispatch, queue_rows
from devicevault.errors import ServiceUnavailable
from devicevault.inventory import Device
from devicevault.messages import CollectRequest
from devicevault.settings import GroupSettings, Settings, SshSettings
from devicevault.store import Store, open_store, reader
from tests.servers import RabbitMQServer, free_port, redis_server, wait_until

#: A group of this module's own: another test's worker must not take these requests.
GROUP = "dispatch-test"


def device(name: str, **values: Any) -> Device:
    plain: dict[str, Any] = {"device_id": f"id-of-{name}", "address": "192.0.2.1", "platform": "noop", "group": GROUP}
    return Device(name, **{**plain, **values})


def application(settings: Settings) -> Application:
    app = Application("test", set_as_current=False)
    app.use(settings)
    return app


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    with open_store(sqlite_url, migrate=True) as opened:
        yield opened


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """A broker of each kind."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    server: RabbitMQServer = request.getfixturevalue("rabbitmq")
    return server.url


def take_all(app: Application, settings: Settings, group: str = GROUP) -> list[tuple[CollectRequest, dict[str, Any]]]:
    """Every waiting request of the group with its message's properties, in the order a worker would get them."""
    taken = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        channel.basic_qos(0, 1, False)
        queue = app.amqp.queues[names.queue_for(group)].bind(channel)
        queue.declare()
        while message := queue.get(no_ack=True):
            (wire,), _, _ = json.loads(message.body)
            taken.append((CollectRequest.from_wire(wire), {**message.properties, **message.headers}))
    return taken


def statuses(store: Store, run_id: str) -> dict[str, str]:
    with store.reading() as session:
        return {row.device: row.status for row in reader.run_results(session, run_id)}


@pytest.mark.services
def test_each_device_gets_one_row_and_one_message_of_the_same_task(broker_url: str, store: Store) -> None:
    settings = Settings(broker_url=broker_url)
    app = application(settings)
    take_all(app, settings)
    devices = [device(f"sw{n}") for n in range(20)]
    run_id = dispatch(devices, settings=settings, store=store, app=app, asked_by="ada")
    taken = take_all(app, settings)
    with store.reading() as session:
        rows = {row.task_id: row for row in reader.run_results(session, run_id)}
    assert {request.task_id for request, _ in taken} == rows.keys()
    assert len(taken) == len(rows) == 20
    assert {row.status for row in rows.values()} == {"queued"}
    for request, properties in taken:
        assert properties["id"] == request.task_id
        assert properties["task"] == names.TASK_COLLECT
        assert request.run_id == run_id
        assert request.task_identifier == "manual:ada"
        assert rows[request.task_id].device == request.device


@pytest.mark.services
def test_a_persons_request_goes_ahead_of_the_schedules(broker_url: str, store: Store) -> None:
    settings = Settings(broker_url=broker_url)
    app = application(settings)
    take_all(app, settings)

    def ask(name: str, kind: str, priority: int) -> None:
        dispatch([device(name)], settings=settings, store=store, app=app, asked_by="x", kind=kind, priority=priority)

    ask("night-1", "scheduled", names.PRIORITY_SCHEDULED)
    ask("night-2", "scheduled", names.PRIORITY_SCHEDULED)
    ask("person", "manual", names.PRIORITY_PERSON)
    assert [request.device for request, _ in take_all(app, settings)] == ["person", "night-1", "night-2"]


def test_a_broker_that_is_not_there_is_told_and_nothing_is_written(store: Store) -> None:
    settings = Settings(broker_url=f"redis://user:hunter2@127.0.0.1:{free_port()}/0")
    with pytest.raises(ServiceUnavailable) as caught:
        dispatch([device("sw")], settings=settings, store=store, app=application(settings), asked_by="ada")
    assert "the broker at redis://" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with store.reading() as session:
        assert reader.device_states(session) == []


@pytest.mark.services
def test_requests_the_broker_did_not_take_end_as_failures_that_say_so(
    redis: object, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devicevault.dispatch.RETRY_POLICY", {"max_retries": 1, "interval_start": 0})
    with redis_server(tmp_path) as broker:
        settings = Settings(broker_url=broker.database_url(0))
        app = application(settings)
        send_task, sent = app.send_task, 0

        def send_then_lose_the_broker(*arguments: Any, **options: Any) -> Any:
            nonlocal sent
            if sent == 3:
                broker.kill()
            sent += 1
            return send_task(*arguments, **options)

        monkeypatch.setattr(app, "send_task", send_then_lose_the_broker)
        devices = [device(f"sw{n}") for n in range(10)]
        run_id = dispatch(devices, settings=settings, store=store, app=app, asked_by="ada")
    found = statuses(store, run_id)
    assert sorted(found.values()) == ["failure"] * 7 + ["queued"] * 3
    assert sent == 4, "after a refusal in spite of retries the rest would wait for nothing"
    with store.reading() as session:
        failed = [row for row in reader.run_results(session, run_id) if row.status == "failure"]
    assert {row.error for row in failed} == {"internal"}
    assert all("the broker did not take the request" in row.error_message for row in failed)


@pytest.mark.services
def test_a_broker_without_disk_to_spare_is_not_waited_for_for_ever(
    rabbitmq: RabbitMQServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devicevault.dispatch.CONFIRM_TIMEOUT_S", 0.5)
    monkeypatch.setattr("devicevault.dispatch.RETRY_POLICY", {"max_retries": 1, "interval_start": 0})
    settings = Settings(broker_url=rabbitmq.url)
    rabbitmq.ctl("set_disk_free_limit", "mem_relative", "1000.0")
    try:
        wait_until(
            lambda: "disk" in rabbitmq.ctl("eval", "rabbit_alarm:get_alarms()."), 20, or_say=lambda: "no disk alarm"
        )
        run_id = dispatch(
            [device("sw1"), device("sw2")], settings=settings, store=store, app=application(settings), asked_by="ada"
        )
    finally:
        rabbitmq.ctl("set_disk_free_limit", "50MB")
        # The next test's messages would be held back as well.
        alarms = ("eval", "rabbit_alarm:get_alarms().")
        wait_until(lambda: "disk" not in rabbitmq.ctl(*alarms), 20, or_say=lambda: rabbitmq.ctl(*alarms))
    assert statuses(store, run_id) == {"sw1": "failure", "sw2": "failure"}


@pytest.mark.services
def test_a_refused_login_is_told_in_words_without_the_password(rabbitmq: RabbitMQServer, store: Store) -> None:
    settings = Settings(broker_url=rabbitmq.url.replace(":guest@", ":hunter2@"))
    with pytest.raises(ServiceUnavailable) as caught:
        dispatch([device("sw")], settings=settings, store=store, app=application(settings), asked_by="ada")
    assert "ACCESS_REFUSED" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.services
def test_an_interrupted_dispatch_leaves_no_row_waiting_for_a_request_that_was_never_sent(
    redis_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(broker_url=redis_url)
    app = application(settings)
    send_task, sent = app.send_task, 0

    def send_two(*arguments: Any, **options: Any) -> Any:
        nonlocal sent
        if sent == 2:
            raise KeyboardInterrupt
        sent += 1
        return send_task(*arguments, **options)

    monkeypatch.setattr(app, "send_task", send_two)
    with pytest.raises(KeyboardInterrupt):
        dispatch([device(f"sw{n}") for n in range(5)], settings=settings, store=store, app=app, asked_by="ada")
    with store.reading() as session:
        states = [state.latest for state in reader.device_states(session) if state.latest]
    assert sorted(state.status for state in states) == ["failure"] * 3 + ["queued"] * 2
    assert {state.error_message for state in states if state.status == "failure"} == {INTERRUPTED}
    assert len(take_all(app, settings)) == 2


def test_a_request_bears_what_its_group_and_device_set_and_never_a_secret(store: Store) -> None:
    settings = Settings(groups={GROUP: GroupSettings(ssh=SshSettings(deadline_s=33))})
    devices = [
        device("plain", credentials=("lab", "fallback"), options={"context": "admin"}),
        device("own", algorithms="legacy", deadline_s=300.0, port=2222, group="default"),
    ]
    run, (plain, own) = queue_rows(devices, settings=settings, store=store, asked_by="timer", kind="scheduled")
    assert (plain.deadline_s, own.deadline_s) == (33, 300)
    assert plain.credentials == ("lab", "fallback")
    assert plain.options == {"context": "admin"}
    assert own.options == {"algorithms": "legacy"}
    assert (own.port, own.device_id) == (2222, "id-of-own")
    assert plain.task_identifier == "scheduled:timer"
    assert plain.expires_at is not None
    assert (plain.expires_at - run.requested_at).total_seconds() == settings.queue.wait_s
    assert plain.task_id != own.task_id
    assert build_request(devices[0], run, settings).host_keys == ()
