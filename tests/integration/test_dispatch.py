"""From devices to queued requests, with real brokers: rows first, one message each, the truth about refused ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from devicevault import names, sending
from devicevault.celery_app import Application
from devicevault.dispatch import INTERRUPTED, build_request, dispatch, queue_rows
from devicevault.inventory import Device
from devicevault.messages import CollectRequest
from devicevault.settings import GroupSettings, Settings, SshSettings
from devicevault.store import Store, open_store, reader
from tests.servers import RabbitMQServer

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
    run_id = dispatch(devices, settings=settings, store=store, app=app, asked_by="ada").run_id
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


@pytest.mark.services
def test_an_interrupted_dispatch_leaves_no_row_waiting_for_a_request_that_was_never_sent(
    redis_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(broker_url=redis_url)
    app = application(settings)
    publish, sent = sending.publish, 0

    def send_two(*arguments: Any) -> None:
        nonlocal sent
        if sent == 2:
            raise KeyboardInterrupt
        sent += 1
        publish(*arguments)

    monkeypatch.setattr(sending, "publish", send_two)
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
