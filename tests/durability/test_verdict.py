"""The judge of a campaign finds each thing that may not be."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devicevault.demo.fleet import Fleet
from devicevault.store.models import DeviceBackupResult, RunAttachment
from tests.durability import verdict
from tests.durability.asker import Asked
from tests.durability.devices import RememberingDevice, Visit, device
from tests.durability.nemesis import Kind
from tests.durability.verdict import Records, Suffered

BROKEN = Kind("broker killed", lambda stage, chance: contextlib.nullcontext(), 60, redelivers=True)


@pytest.fixture
def one() -> RememberingDevice:
    return device(7)


@pytest.fixture
def fleet(one: RememberingDevice) -> Iterator[Fleet]:
    with Fleet([one]) as running:
        yield running


def row(of: RememberingDevice, status: str = "success", **values: Any) -> DeviceBackupResult:
    now = datetime.now(UTC)
    made: dict[str, Any] = {
        "id": 1,
        "task_id": "task-1",
        "run_id": "run-1",
        "device_name": of.name,
        "status": status,
        "error": "",
        "error_message": "",
        "attempt": 1,
        "requested_at": now,
        "started_at": now,
        "recorded_at": now + timedelta(seconds=1),
        "collection_duration_ms": 500,
        "artifacts": [{"digest": of.states[-1].digest}],
    }
    return DeviceBackupResult(**{**made, **values})


def test_one_final_row_is_asked_for_each_device_of_each_run(one: RememberingDevice) -> None:
    asked = [Asked("run-1", (one.name,))]
    good = row(one)
    assert verdict.without_their_final_row(Records([good], []), asked) == []
    assert verdict.without_their_final_row(Records([], []), asked) == [f"{one.name} of run run-1 has 0 rows"]
    assert verdict.without_their_final_row(Records([good, row(one, id=2)], []), asked)
    assert verdict.without_their_final_row(Records([row(one, "queued")], []), asked)


def test_a_run_may_wait_for_a_row_of_another(one: RememberingDevice) -> None:
    asked = [Asked("run-1", (one.name,)), Asked("run-2", (one.name,))]
    attached = RunAttachment(run_id="run-2", result_id=1)
    assert verdict.without_their_final_row(Records([row(one)], [attached]), asked) == []
    assert verdict.without_their_final_row(Records([row(one)], []), asked)


def test_a_success_of_another_text_is_found(one: RememberingDevice, fleet: Fleet) -> None:
    assert verdict.untrue(Records([row(one)], []), fleet) == []
    other = row(one, artifacts=[{"digest": "sha256:0"}])
    assert "holds ['sha256:0']" in verdict.untrue(Records([other], []), fleet)[0]
    assert verdict.untrue(Records([row(one, artifacts=[])], []), fleet)


def test_a_success_of_a_device_that_cuts_is_found(one: RememberingDevice, fleet: Fleet) -> None:
    one.become(0, "cut")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert "the device had: cut" in verdict.untrue(Records([row(one, started_at=later)], []), fleet)[0]


def test_a_text_the_device_held_before_is_not_what_it_held_at_the_time(one: RememberingDevice, fleet: Fleet) -> None:
    before = one.states[-1].digest
    one.become(3, "")
    later = datetime.now(UTC) + timedelta(minutes=1)
    late = row(one, started_at=later, artifacts=[{"digest": before}])
    assert verdict.untrue(Records([late], []), fleet)


def test_a_visit_no_attempt_tells_of_is_found(one: RememberingDevice, fleet: Fleet) -> None:
    now = time.time()
    one.visits = [Visit(now, now + 1), Visit(now + 2, now + 3)]
    records = Records([row(one)], [])
    assert verdict.visited_too_often(records, fleet, [])
    assert verdict.visited_too_often(Records([row(one, attempt=2)], []), fleet, []) == []
    # The first one was in vain: the broker gave its task to a worker again.
    assert verdict.visited_too_often(records, fleet, [Suffered(BROKEN, now, now + 0.5, 3.0)]) == []
    assert verdict.visited_too_often(records, fleet, [Suffered(BROKEN, now - 60, now - 50, 3.0)])


def test_a_fault_not_recovered_from_is_found() -> None:
    assert verdict.not_recovered([Suffered(BROKEN, 0, 1, 59.0)]) == []
    assert "not recovered from within 60 s" in verdict.not_recovered([Suffered(BROKEN, 0, 1, None)])[0]


def test_a_secret_in_raw_bytes_is_found() -> None:
    assert verdict.found_in([("a log", b"nothing")], ["hush"]) == []
    assert verdict.found_in([("a log", b"\0login hush\xff")], ["hush"]) == ["'hush' stands in a log"]


def test_a_whole_device_that_was_not_collected_is_told(one: RememberingDevice, fleet: Fleet) -> None:
    assert verdict.not_collected(Records([row(one, "failure")], []), fleet)
    one.become(0, "refuse_auth")
    assert verdict.not_collected(Records([row(one, "failure")], []), fleet) == []
