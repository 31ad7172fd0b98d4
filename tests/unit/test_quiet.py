"""What Celery tells of trouble with the broker becomes one line, and faults of our own keep their traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from billiard.exceptions import RestartFreqExceeded
from redis.exceptions import OutOfMemoryError, ResponseError

from devicevault.collector.quiet import BrokerTrouble


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """As Celery's consumer has it, with the filter of this test only."""
    logger = logging.getLogger("test.quiet")
    trouble = BrokerTrouble()
    logger.addFilter(trouble)
    yield logger
    logger.removeFilter(trouble)


def tell(logger: logging.Logger, error: Exception) -> None:
    try:
        raise error
    except type(error):
        logger.exception("Control command error: %r", error)


def test_the_same_trouble_is_told_once_in_one_line(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    full = OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
    for _ in range(3):
        logger.error("consumer: Cannot connect to %s: %s.\n%s\n", "redis://host", full, "Trying to reconnect...")
        tell(logger, full)
    (record,) = caplog.records
    assert record.getMessage().startswith("the broker can't be used: its Redis is full; ")
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    tell(logger, ResponseError("MISCONF Errors writing to the AOF file: No space left on device"))
    assert len(caplog.records) == 2


def test_celerys_own_restarts_are_no_news(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    tell(logger, RestartFreqExceeded("5 in 1s"))
    assert caplog.records == []


def test_a_fault_of_our_own_keeps_its_traceback(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    tell(logger, RuntimeError("a bug"))
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
