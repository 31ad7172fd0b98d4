"""When a worker counts as alive."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from devicevault.celery_app import Application
from devicevault.collector.activity import Activity
from devicevault.daemons import broker_watch
from devicevault.daemons.broker_watch import BrokerWatch, broker_answers
from devicevault.daemons.service import Progress
from devicevault.errors import ServiceUnavailable
from devicevault.settings import Settings


class Stopped(Progress):
    """A loop that has not turned for an hour."""

    @property
    def age_s(self) -> float:
        return 3600.0


class Turning(Progress):
    """A loop that turns more often than anyone could ask."""

    @property
    def age_s(self) -> float:
        return -1.0


def never() -> bool:
    raise AssertionError("the broker was asked")


def watch(
    progress: Progress | None = None,
    answers: Callable[[], bool] = never,
    activity: Activity | None = None,
    waiting: Callable[[], int] = lambda: 0,
) -> BrokerWatch:
    """The watch of a worker with two slots."""
    return BrokerWatch(progress or Turning(), answers, activity or Activity(), 2, waiting)


@pytest.fixture
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_watch, "RECONNECT_GRACE_S", 0.0)


def test_a_loop_that_turns_is_alive_without_asking_the_broker() -> None:
    assert watch().is_alive(60)


def test_a_silent_loop_is_alive_while_the_broker_is_away() -> None:
    assert watch(Stopped(), lambda: False).is_alive(60)


def test_a_silent_loop_with_a_broker_that_answers_is_not_alive() -> None:
    assert not watch(Stopped(), lambda: True).is_alive(60)


def test_after_an_outage_the_loop_has_time_to_connect_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, True, True]
    reconnecting = watch(Stopped(), lambda: answers.pop(0))
    assert reconnecting.is_alive(0.01)
    assert reconnecting.is_alive(0.01)
    monkeypatch.setattr(broker_watch, "RECONNECT_GRACE_S", 0.0)
    assert not reconnecting.is_alive(0.0)


def test_one_stuck_session_costs_its_slot_and_every_slot_stuck_the_worker() -> None:
    activity = Activity()
    with activity.task(), activity.session(-1):
        assert watch(activity=activity).is_alive(60)
        with activity.task(), activity.session(60):
            assert watch(activity=activity).is_alive(60)
        with activity.task(), activity.session(-1):
            assert not watch(activity=activity).is_alive(60)
    assert watch(activity=activity).is_alive(60)


@pytest.mark.usefixtures("without_grace")
def test_requests_that_nobody_begins_though_slots_are_free_are_no_life() -> None:
    deaf = watch(waiting=lambda: 3)
    assert deaf.is_alive(0), "the first look only remembers"
    assert deaf.is_alive(60)
    assert not deaf.is_alive(0)


@pytest.mark.usefixtures("without_grace")
def test_a_worker_that_begins_what_waits_is_alive_however_much_waits() -> None:
    activity = Activity()
    busy = watch(activity=activity, waiting=lambda: 1000)
    for _ in range(4):
        with activity.task():
            pass
        assert busy.is_alive(0)


@pytest.mark.usefixtures("without_grace")
@pytest.mark.parametrize("why", ["nothing waits", "every slot is taken", "paused", "the broker can't be asked"])
def test_a_worker_may_begin_nothing_when(why: str) -> None:
    activity = Activity()
    activity.paused = "paused by pat" if why == "paused" else ""

    def waiting() -> int:
        if why == "the broker can't be asked":
            raise ServiceUnavailable("the broker is away")
        return 0 if why == "nothing waits" else 3

    resting = watch(activity=activity, waiting=waiting)
    with contextlib.ExitStack() as tasks:
        if why == "every slot is taken":
            tasks.enter_context(activity.task())
            tasks.enter_context(activity.task())
        for _ in range(4):
            assert resting.is_alive(0)


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1//", "redis://127.0.0.1:1/0"])
def test_a_broker_nobody_listens_for_does_not_answer(url: str) -> None:
    app = Application("test")
    app.use(Settings(broker_url=url))
    assert not broker_answers(app)
