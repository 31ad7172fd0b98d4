"""When a worker counts as alive."""

from __future__ import annotations

import pytest

from devicevault.celery_app import Application
from devicevault.daemons import broker_watch
from devicevault.daemons.broker_watch import BrokerWatch, broker_answers
from devicevault.daemons.service import Progress
from devicevault.settings import Settings


class Stopped(Progress):
    """A loop that has not turned for an hour."""

    @property
    def age_s(self) -> float:
        return 3600.0


def test_a_loop_that_turns_is_alive_without_asking_the_broker() -> None:
    def never() -> bool:
        raise AssertionError("the broker was asked")

    assert BrokerWatch(Progress(), never).is_alive(60)


def test_a_silent_loop_is_alive_while_the_broker_is_away() -> None:
    assert BrokerWatch(Stopped(), lambda: False).is_alive(60)


def test_a_silent_loop_with_a_broker_that_answers_is_not_alive() -> None:
    assert not BrokerWatch(Stopped(), lambda: True).is_alive(60)


def test_after_an_outage_the_loop_has_time_to_connect_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, True, True]
    watch = BrokerWatch(Stopped(), lambda: answers.pop(0))
    assert watch.is_alive(0.01)
    assert watch.is_alive(0.01)
    monkeypatch.setattr(broker_watch, "RECONNECT_GRACE_S", 0.0)
    assert not watch.is_alive(0.0)


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1//", "redis://127.0.0.1:1/0"])
def test_a_broker_nobody_listens_for_does_not_answer(url: str) -> None:
    app = Application("test")
    app.use(Settings(broker_url=url))
    assert not broker_answers(app)
