"""Tasks that saw workers die are begun one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis

from devicevault import names
from devicevault.collector.admission import Admission
from devicevault.errors import CollectionInterrupted
from devicevault.messages import CollectRequest
from devicevault.stream import publish
from tests.results import result

pytestmark = pytest.mark.services

REQUEST = CollectRequest(task_id="t1", device_id="r1", device="r1", platform="noop", requested_at=datetime.now(UTC))


@pytest.fixture
def admission(redis_url: str) -> Iterator[Admission]:
    with Redis.from_url(redis_url) as client:
        yield Admission(client)


def begun(admission: Admission, times: int) -> None:
    for _ in range(times):
        admission.begin("t1", keep_s=60)


def test_what_ended_or_went_back_on_purpose_was_not_begun(admission: Admission, redis_url: str) -> None:
    begun(admission, 2)
    assert admission.standing(REQUEST).begun == 2
    admission.end("t1")
    assert admission.standing(REQUEST).begun == 0
    begun(admission, 1)
    with Redis.from_url(redis_url) as client:
        publish(client, names.RESULTS_STREAM, result(REQUEST, "failure"), done_s=60)
    assert not admission.begin("t1", keep_s=60), "another message of it was worked on meanwhile"
    standing = admission.standing(REQUEST)
    assert (standing.begun, standing.is_done) == (0, True)


def test_the_second_suspect_waits_for_the_first_and_not_for_ever(admission: Admission) -> None:
    begun(admission, 2)
    suspect = admission.standing(REQUEST)
    going = threading.Event()
    second_began, first_ended = threading.Event(), threading.Event()

    def second() -> None:
        with admission.turn(suspect, going, 30):
            assert first_ended.is_set()
            second_began.set()

    with admission.turn(suspect, going, 30):
        other = threading.Thread(target=second)
        other.start()
        with admission.turn(suspect, going, 0.1):
            assert not second_began.is_set()
        first_ended.set()
    assert second_began.wait(10)
    other.join()


def test_a_first_accident_makes_no_suspect(admission: Admission) -> None:
    begun(admission, 1)
    once = admission.standing(REQUEST)
    going = threading.Event()
    with admission.turn(once, going, 30), admission.turn(once, going, 30):
        pass


def test_a_suspect_that_waits_goes_back_when_the_worker_stops(admission: Admission) -> None:
    begun(admission, 2)
    suspect = admission.standing(REQUEST)
    stopping = threading.Event()
    stopping.set()
    with (
        admission.turn(suspect, threading.Event(), 30),
        pytest.raises(CollectionInterrupted),
        admission.turn(suspect, stopping, 30),
    ):
        pass
