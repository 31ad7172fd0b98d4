"""How the doctor judges what the services say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from devicevault.doctor import Finding, State, exit_code
from devicevault.doctor.finding import faults_of
from devicevault.doctor.results import judge_consumer, judge_persistence
from devicevault.errors import ConfigurationError, ExitCode, Fault, ServiceUnavailable

HEALTHY: dict[str, Any] = {"aof_enabled": 1, "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok"}


def states(info: dict[str, Any]) -> list[State]:
    return [finding.state for finding in judge_persistence(info)]


def test_a_redis_without_append_only_file_is_a_warning() -> None:
    assert states({**HEALTHY, "aof_enabled": 0}) == [State.WARNING]
    assert states(HEALTHY) == [State.OK]


def test_a_redis_that_evicts_is_a_fault_only_where_its_memory_is_bounded() -> None:
    evicting = {**HEALTHY, "maxmemory_policy": "allkeys-lru"}
    assert states({**evicting, "maxmemory": 1 << 20}) == [State.FAULT, State.OK]
    assert states({**evicting, "maxmemory": 0}) == [State.OK]


@pytest.mark.parametrize("status", ["aof_last_write_status", "rdb_last_bgsave_status"])
def test_a_redis_that_can_not_write_is_a_fault(status: str) -> None:
    assert states({**HEALTHY, status: "err"}) == [State.FAULT, State.OK]


def judged(
    *, lag: int | None, pending: int = 0, silences: tuple[int, ...] | None = (2,), oldest_ms: int = 0
) -> Finding:
    oldest = [{"time_since_delivered": oldest_ms}] if pending else []
    return judge_consumer("device:results", {"lag": lag, "pending": pending}, oldest, silences)


def test_a_connected_consumer_is_well_even_with_results_waiting() -> None:
    found = judged(lag=120, pending=30, oldest_ms=900)
    assert found.state is State.OK
    assert "150 results wait" in found.text


def test_a_consumer_that_asks_for_nothing_any_more_hangs() -> None:
    """A frozen one holds no result in hand: only its silence tells. One of two that works is enough."""
    found = judged(lag=3, silences=(300,))
    assert found.state is State.FAULT
    assert "it hangs; 3 results wait" in found.text
    assert judged(lag=3, silences=(300, 1)).state is State.OK


def test_an_unknown_lag_is_no_fault() -> None:
    assert judged(lag=None).state is State.OK


def test_a_stream_that_no_connected_consumer_reads_is_a_fault() -> None:
    found = judged(lag=3, silences=())
    assert found.state is State.FAULT
    assert "3 results wait" in found.text


def test_results_read_and_not_stored_point_to_the_database() -> None:
    found = judged(lag=3, pending=7, oldest_ms=300_000)
    assert found.state is State.FAULT
    assert "7 were read and not stored, the oldest 300 s ago" in found.text
    assert "database" in found.fix


def test_a_redis_that_tells_nothing_of_its_clients_leaves_the_question_open() -> None:
    assert judged(lag=0, silences=None).state is State.UNKNOWN
    assert judged(lag=0, pending=1, silences=None, oldest_ms=300_000).state is State.FAULT


def test_the_exit_code_is_that_of_the_fault_to_mend_first() -> None:
    wrong = faults_of("x", ConfigurationError([Fault("a.toml", "is wrong", "mend it"), Fault("b.toml", "too")]))
    away = faults_of("x", ServiceUnavailable("away", "start it"))
    other = [Finding.fault("x", "no worker", "start one")]
    harmless = [Finding.ok("x", "y"), Finding.warning("x", "y", "z"), Finding.unknown("x", "y")]
    assert exit_code(harmless) == ExitCode.DONE
    assert exit_code(harmless + other) == ExitCode.DEVICES_FAILED
    assert exit_code(other + away) == ExitCode.UNAVAILABLE
    assert exit_code(other + away + wrong) == ExitCode.CONFIGURATION


def test_each_fault_of_a_file_is_a_finding_with_its_fix_apart() -> None:
    first, second = faults_of("x", ConfigurationError([Fault("a", "bad", "mend it", line=3), Fault("b", "worse")]))
    assert (first.text, first.fix) == ("a:3: bad", "mend it")
    assert (second.text, second.fix) == ("b: worse", "")
