"""What becomes of changed devices while nobody can be asked, and of those that wait at a stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import pytest

from devicevault.celery_app import Application
from devicevault.dispatch import Dispatched
from devicevault.errors import ServiceUnavailable
from devicevault.inventory import Device
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.syslog import asking
from devicevault.syslog.asking import Asker
from devicevault.syslog.quiet import QuietPeriods
from devicevault.syslog.senders import Senders
from tests.servers import wait_until

DEVICE = Device(name="r1", device_id="r1", address="192.0.2.1", platform="cisco_ios")
SENDERS = Senders.of([DEVICE], Platforms.load())
WITHIN_S = 30


class Broker:
    """In place of dispatching: away as many times as told, and what was asked for when it was there."""

    def __init__(self, away: int, not_taken: str = "") -> None:
        self.away = away
        self.not_taken = not_taken
        self.asked: list[list[str]] = []

    def dispatch(self, devices: Sequence[Device], **options: Any) -> Dispatched:
        if self.away:
            self.away -= 1
            raise ServiceUnavailable("the broker is away", "start it")
        self.asked.append([device.name for device in devices])
        return Dispatched("run-1", {"task-1": self.not_taken} if self.not_taken else {})


@pytest.fixture
def periods(monkeypatch: pytest.MonkeyPatch) -> QuietPeriods:
    monkeypatch.setattr(asking, "LOOK_S", 0.01)
    monkeypatch.setattr(asking, "FIRST_PAUSE_S", 0.01)
    return QuietPeriods(0.001, 0.001)


def asker(
    periods: QuietPeriods, broker: Broker, database_url: str, monkeypatch: pytest.MonkeyPatch, turns: list[int]
) -> Asker:
    monkeypatch.setattr(asking, "dispatch", broker.dispatch)
    settings = Settings(database_url=database_url)
    return Asker(settings, Application("test"), periods, lambda: SENDERS, turned=lambda: turns.append(1))


def test_a_broker_that_is_away_is_asked_until_it_is_there_and_told_of_once(
    periods: QuietPeriods, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker, turns = Broker(away=3), list[int]()
    periods.told("r1", 0)
    periods.told("gone", 0)
    with caplog.at_level(logging.INFO), asker(periods, broker, sqlite_url, monkeypatch, turns):
        wait_until(lambda: bool(broker.asked), WITHIN_S, or_say=lambda: caplog.text)
        before = len(turns)
        wait_until(lambda: len(turns) > before + 3, WITHIN_S, or_say=lambda: caplog.text)
    # Once, and only what the inventory knows.
    assert broker.asked == [["r1"]]
    told = [record.getMessage() for record in caplog.records if record.name == asking.__name__]
    assert told == [
        "changed devices can't be asked for: the broker is away; start it",
        "r1: asked for, since it told of changes (1 message)",
        "changed devices can be asked for again",
    ]


def test_what_a_broker_refuses_is_told_and_not_asked_for_without_end(
    periods: QuietPeriods, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker, turns = Broker(away=0, not_taken="the queue is full"), list[int]()
    periods.told("r1", 0)
    with asker(periods, broker, sqlite_url, monkeypatch, turns) as running:
        wait_until(lambda: len(turns) > 5, WITHIN_S, or_say=lambda: caplog.text)
    assert (broker.asked, running.asked) == ([["r1"]], 0)
    assert "1 changed device not asked for: the queue is full" in caplog.text


def test_a_device_that_is_not_quiet_yet_is_asked_for_at_a_stop_or_named(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for away, asked in ((0, [["r1"]]), (1, [])):
        periods, broker = QuietPeriods(3600, 7200), Broker(away)
        with asker(periods, broker, sqlite_url, monkeypatch, []):
            periods.told("r1", time.monotonic())
        assert broker.asked == asked
    assert "not asked for, and forgotten: 1 changed device: r1" in caplog.text
