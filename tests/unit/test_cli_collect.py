"""``devicevault collect``: what it refuses, how it waits, and how it sums up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from devicevault.cli import main, scheduled, waiting
from devicevault.cli.summary import counts, failed, outcome, print_summary
from devicevault.errors import ServiceUnavailable
from devicevault.settings import Settings
from devicevault.store.reader import ResultSummary


def row(status: str = "success", device: str = "core-sw1", **values: Any) -> ResultSummary:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    plain: dict[str, Any] = {
        "task_id": "t1",
        "run_id": "r1",
        "device": device,
        "device_id": device,
        "platform": "cisco_ios",
        "group": "dmz",
        "status": status,
        "error": "",
        "error_message": "",
        "attempt": 1,
        "requested_at": now,
        "started_at": now,
        "recorded_at": now,
        "duration_ms": 1500,
        "worker": "w1",
        "changed": False,
        "artifacts": (),
    }
    return ResultSummary(**{**plain, **values})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--inline", "--wait", "sw"], "--inline and --wait do not go together"),
        (["--timeout", "3", "sw"], "--timeout is about --wait"),
        (["-v", "sw"], "add --inline"),
        (["--scheduled", "--wait", "sw"], "--scheduled waits anyway"),
        (["--scheduled", "--inline", "sw"], "--scheduled waits anyway"),
        (["--scheduled", "--timeout", "3", "sw"], "--timeout is about --wait"),
    ],
)
def test_options_that_do_not_fit_together_are_refused_with_the_way_out(options: list[str], told: str) -> None:
    ended = CliRunner().invoke(main, ["collect", *options])
    assert ended.exit_code == 2
    assert told in ended.stderr


def test_waiting_ends_when_nothing_is_queued_and_tells_each_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_S", 0)
    answers = iter([{"queued": 2}, {"queued": 1, "success": 1}, {"success": 1, "failure": 1}])
    seen: list[dict[str, int]] = []
    assert waiting.wait_for_run(
        lambda: next(answers),
        timeout_s=None,
        on_counts=lambda counts: seen.append(dict(counts)),
        on_quiet=lambda: pytest.fail("was not quiet"),
    )
    assert seen == [{"queued": 2}, {"queued": 1, "success": 1}, {"success": 1, "failure": 1}]


def test_waiting_ends_at_its_timeout_and_hints_once_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by 5 s whenever it is looked at."""
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=count(0.0, 5.0).__next__, sleep=lambda _: None))
    hints: list[str] = []
    done = waiting.wait_for_run(
        lambda: {"queued": 1}, timeout_s=60, on_counts=lambda _: None, on_quiet=lambda: hints.append("hint")
    )
    assert not done
    assert hints == ["hint"]


def test_waiting_outlives_a_database_that_restarts_and_tells_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_S", 0)
    away = ServiceUnavailable("no database")
    answers: Iterator[ServiceUnavailable | dict[str, int]] = iter([away, away, {"success": 1}])
    told: list[str] = []

    def ask() -> dict[str, int]:
        answer = next(answers)
        if isinstance(answer, ServiceUnavailable):
            raise answer
        return answer

    assert waiting.patiently(ask, told.append, 60) == {"success": 1}
    assert told == ["no database; still waiting"]


def test_waiting_ends_when_the_database_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_S", 0)

    def ask() -> dict[str, int]:
        raise ServiceUnavailable("no database")

    with pytest.raises(ServiceUnavailable):
        waiting.patiently(ask, lambda _: None, 0.05)


@pytest.mark.parametrize(
    ("status", "is_failure"),
    [
        ("success", False),
        ("skipped", False),
        ("cancelled", False),
        ("failure", True),
        ("lost", True),
        ("expired", True),
    ],
)
def test_what_counts_as_a_failed_device(status: str, is_failure: bool) -> None:
    assert failed(row(status)) is is_failure


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["success", "success"], 0),
        (["success", "cancelled"], 0),
        (["skipped"], 0),
        (["cancelled"], 0),
        (["success", "failure", "failure"], 0),
        (["success", "queued"], 0),
        (["suspect"], 0),
        (["skipped", "failure"], 0),
        (["failure", "lost"], 3),
        (["expired", "expired"], 3),
        (["queued"], 3),
        (["cancelled", "failure"], 3),
    ],
)
def test_a_scheduled_run_tells_some_failures_from_no_backup_at_all(statuses: list[str], code: int) -> None:
    assert scheduled.exit_code([row(status, f"sw{n}") for n, status in enumerate(statuses)]) == code


def test_a_scheduled_run_waits_until_the_consumer_has_ended_every_row() -> None:
    settings = Settings.model_validate({"queue": {"wait_s": 600, "amqp_consumer_timeout_s": 1800}})
    assert scheduled.longest_wait_s(settings) == 600 + 2 * 1800 + 3 * settings.consumer.sweep_s


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (row(), "unchanged"),
        (row(changed=True, artifacts=({"name": "running", "revision": 1},)), "first backup"),
        (row(changed=True, artifacts=({"name": "running", "revision": 4},)), "changed, see: devicevault diff core-sw1"),
        (row("failure", error="timeout", error_message="the session's 3 s were over"), "timeout: the session's 3 s"),
        (row("queued"), "not done yet"),
    ],
)
def test_each_outcome_is_told_in_a_few_words(result: ResultSummary, told: str) -> None:
    assert told in outcome(result)


def test_the_counts_come_in_a_fixed_order_and_unknown_ends_last() -> None:
    rows = [row("skipped"), row("strange"), row(), row("failure"), row()]
    assert counts(rows) == "5 devices: 2 success, 1 failure, 1 skipped, 1 strange"
    assert counts([row()]) == "1 device: 1 success"


def test_of_many_devices_only_those_worth_a_look_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(device=f"sw{n}") for n in range(30)] + [row("failure", "bad-sw", error="auth", error_message="refused")]
    print_summary("r1", rows, as_json=False)
    out = capsys.readouterr().out
    assert "sw7" not in out
    assert "auth: refused" in out
    assert "31 devices: 30 success, 1 failure" in out


def test_the_json_summary_names_the_run_and_every_device(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary("r2", [row(), row("failure", "sw2")], as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["run_id"], told["results"][0]["run_id"]) == ("r2", "r1"), "it waited for an earlier run's tasks"
    assert [(each["device"], each["status"]) for each in told["results"]] == [
        ("core-sw1", "success"),
        ("sw2", "failure"),
    ]
