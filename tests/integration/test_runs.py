"""Runs: attached to what waits already, cancelled, swept; every row ends final, and a result has the last word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from devicevault.errors import UsageError
from devicevault.messages import CollectRequest
from devicevault.store import Store, cancel_run, open_run, open_store, queue_requests, reader, write_results
from devicevault.store.runs import find_run, recent_runs
from devicevault.store.sweep import SWEEP_AT_ONCE, Ended, Waits, sweep
from tests.results import request, result

pytestmark = pytest.mark.services

WAITS = Waits(queue=timedelta(hours=6), session=timedelta(hours=1))


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with open_store(str(request.getfixturevalue(f"{request.param}_url")), migrate=True) as opened:
        yield opened


def waiting(device: str = "core-sw1", *, for_h: float = 6, group: str = "default") -> CollectRequest:
    """A request of this moment that is worth doing for some hours."""
    return request(device, requested_at=now(), expires_at=now() + timedelta(hours=for_h), group=group)


def queue(store: Store, *requests: CollectRequest, kind: str = "manual") -> tuple[str, list[CollectRequest]]:
    with store.session() as session:
        run_id = open_run(session, asked_by="ann", kind=kind)
        return run_id, queue_requests(session, run_id, requests, attach=kind != "inline")


def rows(store: Store, run_id: str) -> dict[str, tuple[str, str]]:
    with store.reading() as session:
        return {row.device: (row.task_id, row.status) for row in reader.run_results(session, run_id)}


def cancel(store: Store, run_id: str) -> tuple[int, int]:
    with store.session() as session:
        cancelled = cancel_run(session, run_id, by="ann")
    return len(cancelled.task_ids), cancelled.passed_on


class TestAttaching:
    def test_a_device_asked_for_again_waits_for_the_same_row(self, store: Store) -> None:
        first = waiting()
        night, _ = queue(store, first, waiting("other"))
        again = waiting(for_h=8).model_copy(update={"priority": 6})
        person, (sent,) = queue(store, again)
        assert (sent.task_id, sent.run_id, sent.repeat) == (first.task_id, night, 1)
        assert (sent.priority, sent.expires_at) == (6, again.expires_at)
        assert rows(store, person) == {"core-sw1": (first.task_id, "queued")}
        write_results(store, [result(first, "success", "hostname a\n")])
        assert rows(store, person) == {"core-sw1": (first.task_id, "success")}
        with store.reading() as session:
            assert reader.run_progress(session, person) == {"success": 1}
            assert {run.run_id: run.device_count for run in recent_runs(session, limit=9)} == {night: 2, person: 1}

    def test_each_time_it_is_another_message(self, store: Store) -> None:
        queue(store, waiting())
        assert [queue(store, waiting())[1][0].repeat for _ in range(3)] == [1, 2, 3]

    def test_what_is_done_or_not_worth_doing_any_more_is_asked_for_anew(self, store: Store) -> None:
        done, over = waiting(), waiting("over", for_h=-1)
        queue(store, done, over)
        write_results(store, [result(done, "failure")])
        _, sent = queue(store, waiting(), waiting("over"))
        assert [one.repeat for one in sent] == [0, 0]
        assert {one.task_id for one in sent}.isdisjoint({done.task_id, over.task_id})

    def test_nobody_waits_for_a_task_that_is_in_no_queue(self, store: Store) -> None:
        queue(store, waiting(), kind="inline")
        assert queue(store, waiting())[1][0].repeat == 0

    def test_the_first_message_expiring_does_not_end_a_task_whose_second_one_waits(self, store: Store) -> None:
        first = waiting(for_h=0.5)
        queue(store, first)
        person, _ = queue(store, waiting(for_h=6))
        assert write_results(store, [result(first, "expired")]).ignored == 1
        assert rows(store, person)["core-sw1"][1] == "queued"
        write_results(store, [result(first, "success", "hostname a\n")])
        assert rows(store, person)["core-sw1"][1] == "success"

    def test_ten_thousand_at_once(self, store: Store) -> None:
        requests = [waiting(f"sw{number}") for number in range(10_000)]
        queue(store, *requests)
        run_id, sent = queue(store, *[waiting(f"sw{number}") for number in range(10_000)])
        assert {one.repeat for one in sent} == {1}
        with store.reading() as session:
            assert reader.run_progress(session, run_id) == {"queued": 10_000}


class TestCancelling:
    def test_what_waits_is_cancelled_at_once_and_what_is_done_stays(self, store: Store) -> None:
        done = waiting("done")
        run_id, _ = queue(store, waiting("a"), waiting("b"), done)
        write_results(store, [result(done, "success", "x\n")])
        assert cancel(store, run_id) == (2, 0)
        assert {device: status for device, (_, status) in rows(store, run_id).items()} == {
            "a": "cancelled",
            "b": "cancelled",
            "done": "success",
        }
        assert cancel(store, run_id) == (0, 0)

    def test_a_device_another_run_asked_for_goes_on_as_that_ones(self, store: Store) -> None:
        night, _ = queue(store, waiting("shared"), waiting("own"))
        person, _ = queue(store, waiting("shared"))
        assert cancel(store, night) == (1, 1)
        assert rows(store, night).keys() == {"own"}
        assert rows(store, person)["shared"][1] == "queued"
        assert cancel(store, person) == (1, 0)
        assert rows(store, person)["shared"][1] == "cancelled"

    def test_one_that_only_waits_for_another_runs_task_leaves_it_alone(self, store: Store) -> None:
        night, _ = queue(store, waiting("shared"))
        person, _ = queue(store, waiting("shared"))
        assert cancel(store, person) == (0, 1)
        assert rows(store, night)["shared"][1] == "queued"
        assert rows(store, person) == {}

    def test_a_session_that_ran_already_has_the_last_word_when_it_succeeds(self, store: Store) -> None:
        running = waiting()
        run_id, _ = queue(store, running)
        cancel(store, run_id)
        write_results(store, [result(running, "failure", error="auth")])
        assert rows(store, run_id)["core-sw1"][1] == "cancelled"
        write_results(store, [result(running, "success", "x\n")])
        assert rows(store, run_id)["core-sw1"][1] == "success"


class TestAsking:
    def test_a_run_is_found_by_the_beginning_of_its_id(self, store: Store) -> None:
        run_id, _ = queue(store, waiting())
        with store.reading() as session:
            assert find_run(session, run_id[:6]).statuses == {"queued": 1}
            for wrong in ("", "zz", "%", "_"):
                with pytest.raises(UsageError, match="no run"):
                    find_run(session, wrong)

    def test_an_ambiguous_beginning_is_said_so(self, store: Store) -> None:
        ids = [queue(store, waiting(f"sw{number}"))[0] for number in range(17)]
        shared = next(one[0] for one in ids if sum(other[0] == one[0] for other in ids) > 1)
        with store.reading() as session, pytest.raises(UsageError, match="several runs begin with"):
            find_run(session, shared)


class TestSweeping:
    def swept(self, store: Store, after_h: float) -> list[Ended]:
        return sweep(store, WAITS, now() + timedelta(hours=after_h))

    def test_a_row_within_its_waits_is_left_alone(self, store: Store) -> None:
        run_id, _ = queue(store, waiting(for_h=6))
        assert self.swept(store, 6.9) == []
        assert rows(store, run_id)["core-sw1"][1] == "queued"

    def test_where_no_worker_delivers_it_expired_and_where_one_does_it_is_lost(self, store: Store) -> None:
        ended = waiting("ended", group="dmz")
        run_id, _ = queue(store, waiting("gone", group="dmz"), ended, waiting("still", group="branch"))
        write_results(store, [result(ended, "success", "x\n")])
        assert {one.device: one.status for one in self.swept(store, 7.1)} == {"gone": "lost", "still": "expired"}
        with store.reading() as session:
            told = {row.device: (row.error, row.error_message) for row in reader.run_results(session, run_id)}
        assert told["gone"][0] == "lost"
        assert "devicevault doctor" in told["gone"][1]
        assert "systemctl status devicevault-worker@branch" in told["still"][1]

    @pytest.mark.parametrize("status", ["success", "failure"])
    def test_a_late_result_wins(self, status: str, store: Store) -> None:
        late = waiting()
        run_id, _ = queue(store, late)
        assert len(self.swept(store, 8)) == 1
        write_results(store, [result(late, status, *["x\n"] * (status == "success"))])
        assert rows(store, run_id)["core-sw1"][1] == status
        assert self.swept(store, 99) == []

    def test_one_asked_for_again_waits_as_long_as_the_last_request(self, store: Store) -> None:
        queue(store, waiting(for_h=6))
        queue(store, waiting(for_h=9))
        assert self.swept(store, 8) == []
        assert len(self.swept(store, 10.1)) == 1

    def test_a_row_that_does_not_tell_when_it_expires_waits_as_the_queue_does(self, store: Store) -> None:
        queue(store, request(requested_at=now()))
        assert self.swept(store, 6.9) == []
        assert len(self.swept(store, 7.1)) == 1

    def test_many_are_ended_in_several_steps(self, store: Store) -> None:
        queue(store, *[waiting(f"sw{number}") for number in range(SWEEP_AT_ONCE + 1)])
        assert [len(self.swept(store, 8)) for _ in range(3)] == [SWEEP_AT_ONCE, 1, 0]


def test_failures_in_a_row_are_counted_since_the_last_success(store: Store) -> None:
    def failures() -> int:
        with store.reading() as session:
            return reader.device_states(session)[0].failures

    outcomes = ["failure", "success", "failure", "skipped", "cancelled", "lost", "expired"]
    for minutes, status in enumerate(outcomes):
        write_results(store, [result(request(minutes=minutes), status, *["x\n"] * (status == "success"))])
    assert failures() == 3
    write_results(store, [result(request(minutes=99), "success", "x\n")])
    assert failures() == 0
