"""What becomes of requests a broker does not take: nothing is asked for, or the rows say why. Nothing hangs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from devicevault import names, sending
from devicevault.celery_app import Application
from devicevault.cli import main
from devicevault.dispatch import dispatch
from devicevault.errors import ExitCode, ServiceUnavailable
from devicevault.settings import Settings
from devicevault.store import Store, open_store, reader
from tests.integration.test_dispatch import GROUP, application, device, statuses, take_all
from tests.servers import RabbitMQServer, free_port, redis_server, wait_until


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    with open_store(sqlite_url, migrate=True) as opened:
        yield opened


def ask(store: Store, settings: Settings, app: Application, *devices: str) -> tuple[str, dict[str, str]]:
    """The run, and why the broker did not take some of it."""
    run = dispatch([device(name) for name in devices], settings=settings, store=store, app=app, asked_by="ada")
    return run.run_id, dict(run.not_taken)


def reasons(store: Store, run_id: str) -> dict[str, str]:
    with store.reading() as session:
        rows = reader.run_results(session, run_id)
    return {row.device: row.error_message for row in rows if row.status == "failure" and row.error == "internal"}


def nothing_is_written(store: Store) -> bool:
    with store.reading() as session:
        return reader.device_states(session) == []


def test_a_broker_that_is_not_there_is_told_and_nothing_is_written(store: Store) -> None:
    settings = Settings(broker_url=f"redis://user:hunter2@127.0.0.1:{free_port()}/0")
    with pytest.raises(ServiceUnavailable) as caught:
        ask(store, settings, application(settings), "sw")
    assert "the broker at redis://" in str(caught.value)
    assert "can't be reached: Connection refused; " in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert nothing_is_written(store)


@pytest.mark.services
def test_a_refused_login_is_told_in_words_without_the_password(rabbitmq: RabbitMQServer, store: Store) -> None:
    settings = Settings(broker_url=rabbitmq.url.replace(":guest@", ":hunter2@"))
    with pytest.raises(ServiceUnavailable) as caught:
        ask(store, settings, application(settings), "sw")
    assert "ACCESS_REFUSED" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.services
def test_a_redis_broker_without_room_is_told_and_nothing_is_written(redis_url: str, store: Store) -> None:
    settings = Settings(broker_url=redis_url)
    app = application(settings)
    with Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"])
        try:
            with pytest.raises(ServiceUnavailable, match=r"takes nothing: its Redis is full; .* or raise maxmemory"):
                ask(store, settings, app, "sw")
        finally:
            client.config_set("maxmemory", 0)
    assert nothing_is_written(store)
    run_id, not_taken = ask(store, settings, app, "sw")
    assert (statuses(store, run_id), not_taken) == ({"sw": "queued"}, {})


@pytest.mark.services
def test_a_broker_that_goes_away_in_the_middle_leaves_rows_that_say_so(
    redis: object, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devicevault.sending.AGAIN_AFTER_S", (0.1,))
    with redis_server(tmp_path) as broker:
        settings = Settings(broker_url=broker.database_url(0))
        app = application(settings)
        publish, sent = sending.publish, 0

        def send_then_lose_the_broker(*arguments: Any) -> None:
            nonlocal sent
            if sent == 3:
                broker.kill()
            sent += 1
            publish(*arguments)

        monkeypatch.setattr(sending, "publish", send_then_lose_the_broker)
        run_id, not_taken = ask(store, settings, app, *(f"sw{n}" for n in range(10)))
    found = statuses(store, run_id)
    assert sorted(found.values()) == ["failure"] * 7 + ["queued"] * 3
    assert sent == 4, "after a refusal in spite of retries the rest would wait for nothing"
    told = reasons(store, run_id)
    assert sorted(told.values()) == sorted(not_taken.values())
    assert set(told.values()) == {"the broker did not take the request: Connection refused; collect the device again"}


@pytest.mark.services
def test_a_broker_that_is_back_soon_gets_every_request(
    redis: object, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue's declaration is lost with the connection."""
    with redis_server(tmp_path) as broker:
        settings = Settings(broker_url=broker.database_url(0))
        app = application(settings)
        publish, sent = sending.publish, 0

        class UntilItIsBack:
            def __iter__(self) -> Iterator[float]:
                yield 0.1
                broker.start()
                yield 0.1

        monkeypatch.setattr(sending, "AGAIN_AFTER_S", UntilItIsBack())

        def send_with_an_interruption(*arguments: Any) -> None:
            nonlocal sent
            sent += 1
            if sent == 3:
                broker.kill()
            publish(*arguments)

        monkeypatch.setattr(sending, "publish", send_with_an_interruption)
        run_id, not_taken = ask(store, settings, app, *(f"sw{n}" for n in range(6)))
        taken = take_all(app, settings)
    assert not_taken == {}
    assert set(statuses(store, run_id).values()) == {"queued"}
    assert {request.device for request, _ in taken} == {f"sw{n}" for n in range(6)}


@contextmanager
def alarmed(rabbitmq: RabbitMQServer, what: str) -> Iterator[None]:
    """RabbitMQ has no memory, or no disk, to spare."""

    def is_alarmed() -> bool:
        return what in rabbitmq.ctl("eval", "rabbit_alarm:get_alarms().")

    low = {"disk": ("set_disk_free_limit", "mem_relative", "1000.0"), "memory": ("set_vm_memory_high_watermark", "0")}
    again = {"disk": ("set_disk_free_limit", "50MB"), "memory": ("set_vm_memory_high_watermark", "0.4")}
    rabbitmq.ctl(*low[what])
    try:
        wait_until(is_alarmed, 20, or_say=lambda: f"no {what} alarm")
        yield
    finally:
        rabbitmq.ctl(*again[what])
        # The next test's messages would be held back as well.
        wait_until(lambda: not is_alarmed(), 20, or_say=lambda: f"the {what} alarm stays")


@pytest.mark.services
def test_a_rabbitmq_without_disk_to_spare_is_told_in_the_rows(rabbitmq: RabbitMQServer, store: Store) -> None:
    """It refuses nothing and confirms nothing: without its one word of it every request would wait for an answer."""
    settings = Settings(broker_url=rabbitmq.url)
    app = application(settings)
    with alarmed(rabbitmq, "disk"):
        run_id, not_taken = ask(store, settings, app, "sw1", "sw2")
    assert len(not_taken) == 2
    told = reasons(store, run_id)
    assert told.keys() == {"sw1", "sw2"}
    assert all("RabbitMQ's memory or disk runs low" in reason for reason in told.values())
    assert all("rabbitmqctl status" in reason for reason in told.values())


@pytest.mark.services
def test_a_rabbitmq_without_memory_to_spare_is_told_by_collect(
    rabbitmq: RabbitMQServer, sqlite_url: str, tmp_path: Path
) -> None:
    inventory = tmp_path / "devices.toml"
    inventory.write_text(
        f'[groups.{GROUP}]\n[devices.fw1]\naddress = "192.0.2.1"\nplatform = "noop"\ngroup = "{GROUP}"\n'
    )
    environ = {
        "DEVICEVAULT_CONFIG": None,
        "DEVICEVAULT_BROKER_URL": rabbitmq.url,
        "DEVICEVAULT_DATABASE_URL": sqlite_url,
        "DEVICEVAULT_INVENTORY__PATH": str(inventory),
    }
    with alarmed(rabbitmq, "memory"):
        found = CliRunner().invoke(main, ["collect", "fw1", "--json"], env=environ, catch_exceptions=False)
    assert found.exit_code == ExitCode.DEVICES_FAILED, found.output
    assert "1 not asked for: the broker did not take the request: RabbitMQ's memory or disk runs low" in " ".join(
        found.stderr.split()
    )
    assert json.loads(found.stdout)["queued"] == 0


@pytest.mark.services
def test_a_queue_the_broker_refuses_is_its_groups_trouble_only(rabbitmq: RabbitMQServer, store: Store) -> None:
    """Made by hand with other arguments, for example, which can't be changed afterwards."""
    settings = Settings(broker_url=rabbitmq.url)
    app = application(settings)
    take_all(app, settings)
    other = names.queue_for("by-hand")
    with app.connection_for_write() as connection:
        connection.default_channel.queue_declare(other, durable=True, auto_delete=False)
    devices = [device("a", group="by-hand"), device("b"), device("c", group="by-hand"), device("d")]
    try:
        run = dispatch(devices, settings=settings, store=store, app=app, asked_by="ada")
    finally:
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(other)
    assert statuses(store, run.run_id) == {"a": "failure", "b": "queued", "c": "failure", "d": "queued"}
    assert {request.device for request, _ in take_all(app, settings)} == {"b", "d"}
    told = reasons(store, run.run_id)
    assert all(reason.startswith(f"the broker refuses queue {other}: ") for reason in told.values())
    assert all("inequivalent arg" in reason for reason in told.values())
