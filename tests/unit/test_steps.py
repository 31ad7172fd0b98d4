"""What is told of a session: log lines, sentences and transcript, none with a secret."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from devicevault.collector.steps import HIDDEN, Steps
from devicevault.messages import LOG_MAX_CHARACTERS, LOG_MAX_LINES, CollectRequest

REQUEST = CollectRequest(
    task_id="t", device_id="r1", device="r1", platform="cisco_ios", requested_at=datetime(2026, 1, 1, tzinfo=UTC)
)


def test_a_secret_named_once_is_masked_in_all_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """However short: a device that repeats a password as it hangs up must not carry it into the journal."""
    shown: list[tuple[str, str]] = []
    steps = Steps(REQUEST, lambda kind, text: shown.append((kind, text)))
    steps.hide(("pw-7", "pw-7-longer", ""))
    with caplog.at_level(logging.DEBUG):
        steps.info("one pw-7")
        steps.warning("two pw-7-longer")
        steps.error(steps.masked("it said 'pw-7'"))
    steps.typed("pw-7")
    steps.seen(lambda: "password pw-7-longer")
    assert [line.message for line in steps.lines] == [f"one {HIDDEN}", f"two {HIDDEN}", f"it said '{HIDDEN}'"]
    assert shown == [("typed", HIDDEN), ("seen", f"password {HIDDEN}")]
    assert "pw-7" not in caplog.text


def test_a_row_is_not_flooded_by_a_device_that_talks_on() -> None:
    steps = Steps(REQUEST)
    for _ in range(LOG_MAX_LINES + 5):
        steps.info("x" * (LOG_MAX_CHARACTERS + 5))
    assert len(steps.lines) == LOG_MAX_LINES
    assert {len(line.message) for line in steps.lines} == {LOG_MAX_CHARACTERS}
