"""A worker's events: no thread ever waits for the broker to confirm one."""

from __future__ import annotations

import types
from typing import Any

import pytest

from devicevault.celery_app import Application
from devicevault.collector.event_line import EventLineConsumer
from devicevault.settings import Settings


@pytest.mark.parametrize("broker_url", ["amqp://guest:guest@localhost//", "redis://localhost/0"])
def test_events_leave_by_a_connection_on_which_nobody_waits(broker_url: str) -> None:
    """With confirms, the thread that sent one and the loop that read the answer waited for each other."""
    app = Application("test")
    app.use(Settings(broker_url=broker_url))
    consumer: Any = types.SimpleNamespace(app=app, ensure_connected=lambda connection: connection)
    connection: Any = EventLineConsumer.connection_for_write(consumer)
    assert not connection.transport_options.get("confirm_publish", False)
    assert connection.heartbeat == 0
    # What is asked for, and what waits for an answer, goes by other connections.
    assert app.connection_for_write().transport_options.get("confirm_publish", False) is broker_url.startswith("amqp")
    assert app.conf.worker_consumer == "devicevault.collector.event_line:EventLineConsumer"
