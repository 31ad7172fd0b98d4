"""What a broker's refusal means, in words."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from devicevault.refusal import FULL, PublishingBlockedError, in_words

REFUSED = "Error 111 connecting to 10.0.0.1:6379. Connection refused."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), FULL),
        (
            ResponseError(
                "Command # 1 (LLEN collector.group.lab) of pipeline caused error: command not allowed when used memory "
                "> 'maxmemory'."
            ),
            FULL,
        ),
        (
            ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
            "its Redis can't write to its disk: No space left on device; make room there",
        ),
        (BusyLoadingError("Redis is loading the dataset in memory"), "its Redis is starting; try again in a moment"),
        (
            ReadOnlyError("You can't write against a read only replica."),
            "its Redis is a replica, which takes nothing; let broker_url name the primary",
        ),
        (RedisConnectionError(REFUSED), "Connection refused"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (OSError(22, "Invalid argument"), "the connection to it broke off"),
        (BrokenPipeError(32, "Broken pipe"), "the connection to it broke off"),
        (TimeoutError("timed out"), "it did not answer in time"),
        (OSError("Server unexpectedly closed connection"), "Server unexpectedly closed connection"),
        (RedisConnectionError("redis://me:hush@host\n  is away"), "redis://me:********@host is away"),
        (OSError(), "OSError"),
    ],
)
def test_a_refusal_is_told_in_one_line_and_without_a_password(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_the_cause_of_what_kombu_wraps_is_told() -> None:
    wrapped = OperationalError("[Errno 22] Invalid argument")
    wrapped.__cause__ = OSError(22, "Invalid argument")
    assert in_words(wrapped) == "the connection to it broke off"


def test_a_blocked_rabbitmq_is_told_with_where_to_look() -> None:
    assert "rabbitmqctl status" in in_words(PublishingBlockedError())
