"""When a consumer starts further processes, and what it makes of their ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from devicevault.daemons import backlog
from devicevault.daemons.backlog import AGAIN_S, WORTH_S, Backlog, processes_of
from devicevault.outputs.tally import Tally
from devicevault.settings import ConsumerSettings, Settings
from devicevault.store import WriteReport
from devicevault.store.revisions import Change
from tests.results import request, result


class Process:
    """One that ends when the test says so."""

    started: list[Process]

    def __init__(self, number: int, settings: Settings, told: Callable[[Tally], None]) -> None:
        self.number, self.settings = number, settings
        self.pid = 100 + number
        self.stored = self.set_aside_count = 0
        self.exit_code: int | None = None
        self.is_to_end = False
        Process.started.append(self)

    def let_end(self) -> None:
        self.is_to_end = True

    def wait(self) -> None:
        assert self.is_to_end
        self.exit_code = 0


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    Process.started = []
    monkeypatch.setattr(backlog, "BacklogProcess", Process)
    return Process.started


def of(processes: int) -> Backlog:
    return Backlog(Settings(consumer=ConsumerSettings(processes=processes)), lambda tally: None)


@pytest.mark.parametrize(("asked", "processors", "expected"), [(0, 1, 1), (0, 2, 2), (0, 64, 2), (1, 8, 1), (4, 2, 4)])
def test_two_processes_where_there_are_two_processors_unless_the_settings_say_otherwise(
    asked: int, processors: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)))
    assert processes_of(ConsumerSettings(processes=asked)) == expected


def test_a_process_is_started_for_seconds_of_work_not_for_less(started: list[Process]) -> None:
    several = of(3)
    several.look(100, WORTH_S / 2)
    assert not started
    several.look(10_000, WORTH_S)
    several.look(10_000, WORTH_S)
    several.look(10_000, WORTH_S)
    assert [one.number for one in started] == [2, 3]


def test_one_process_starts_no_other(started: list[Process]) -> None:
    of(1).look(1_000_000, 1000.0)
    assert not started


def test_what_was_stored_elsewhere_is_counted_once(started: list[Process]) -> None:
    one = of(2)
    one.look(10_000, WORTH_S)
    started[0].stored, started[0].set_aside_count = 700, 2
    assert (one.stored, one.set_aside_count) == (700, 2)
    started[0].exit_code = 0
    one.look(0, 0.0)
    assert (one.stored, one.set_aside_count) == (700, 2)
    one.look(10_000, WORTH_S)
    started[1].stored = 50
    assert [process.number for process in started] == [2, 2]
    assert one.stored == 750


def test_after_one_that_ended_badly_none_is_started_for_a_while(
    started: list[Process], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    one = of(2)
    one.look(10_000, WORTH_S)
    started[0].exit_code = -9
    one.look(10_000, WORTH_S)
    assert len(started) == 1
    assert "process 2 ended badly (-9)" in caplog.text
    now += AGAIN_S
    one.look(10_000, WORTH_S)
    assert len(started) == 2


def test_a_host_that_allows_no_more_processes_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(backlog, "BacklogProcess", refused)
    one = of(2)
    one.look(10_000, WORTH_S)
    one.look(10_000, WORTH_S)
    assert caplog.text.count("no further process can be started: Resource temporarily unavailable") == 1


def test_other_settings_are_for_new_processes_and_the_old_ones_finish(started: list[Process]) -> None:
    one = of(2)
    one.look(10_000, WORTH_S)
    new = Settings(consumer=ConsumerSettings(processes=2, batch_entries=10))
    one.renew(new)
    assert started[0].is_to_end
    started[0].exit_code = 0
    one.look(10_000, WORTH_S)
    assert started[1].settings == new


def test_the_end_of_the_consumer_waits_for_what_they_have_in_hand(started: list[Process]) -> None:
    with of(3) as several:
        several.look(10_000, WORTH_S)
        several.look(10_000, WORTH_S)
    assert [one.exit_code for one in started] == [0, 0]


def test_a_tally_is_the_same_in_another_process() -> None:
    results = [
        result(request("a", group="dmz"), task_identifier="manual:ann"),
        result(request("b"), "failure", error="timeout"),
    ]
    change = Change("a", "a", results[0].task_id, "running", 1, "first", 3, 0)
    tally = Tally.of(results, WriteReport(written=[one.task_id for one in results], changes=[change]))
    assert all((tally.results, tally.revisions, tally.seconds))
    assert Tally.from_json(tally.to_json()) == tally
