"""Why a broker takes nothing, in an operator's words: what was wrong, and what to do."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, Final

from amqp.exceptions import AccessRefused, NotAllowed, PreconditionFailed
from kombu.exceptions import OperationalError
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
)

from devicevault.settings.masking import mask_passwords

if TYPE_CHECKING:
    from kombu.connection import Connection

#: What a socket that was closed or shut down meanwhile answers with.
BROKEN_OFF: Final = frozenset(
    {errno.EINVAL, errno.EBADF, errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED}
)
#: How redis-py begins: the command of a pipeline, or where it was to connect, and only then what was wrong.
_BEFORE_THE_POINT: Final = re.compile(r"^(?:Command # .* of pipeline caused error: |Error -?\d+ .*?\. (?=\S))")
_QUEUE: Final = re.compile(r"inequivalent arg '[^']+' for queue '([^']+)'")
ACCESS_FIX: Final = "correct user, password and virtual host or database in broker_url"
FULL: Final = "its Redis is full; see that devicevault-consumer runs and keeps up, or raise maxmemory"


class PublishingBlockedError(Exception):
    """RabbitMQ holds back whatever is sent, since its memory or its disk runs low."""

    def __init__(self) -> None:
        super().__init__(
            "RabbitMQ's memory or disk runs low, and it holds messages back; see `rabbitmqctl status` on its host, and "
            "make room there"
        )


def blocked(_reason: str) -> None:
    """RabbitMQ's word that it holds messages back, which is all that would ever come. For py-amqp's ``on_blocked``."""
    raise PublishingBlockedError


def broker_errors(connection: Connection) -> tuple[type[BaseException], ...]:
    """Whatever a broker's refusal or absence raises."""
    # A refused login or virtual host is a channel error to py-amqp.
    return (OperationalError, PublishingBlockedError, *connection.connection_errors, *connection.channel_errors)


def is_of_access(error: BaseException) -> bool:
    """Whether the broker is there, and lets nobody in by this user, password and virtual host."""
    return isinstance(_cause(error), AccessRefused | NotAllowed | AuthenticationError | NoPermissionError)


def in_words(error: BaseException) -> str:
    """One sentence of one line, without a password."""
    error = _cause(error)
    text = " ".join(mask_passwords(str(error)).split()).rstrip(".")
    text = _BEFORE_THE_POINT.sub("", text)
    if isinstance(error, OutOfMemoryError) or "'maxmemory'" in text:
        return FULL
    if text.startswith("MISCONF"):
        return f"its Redis can't write to its disk: {text.rpartition(': ')[2]}; make room there"
    if isinstance(error, BusyLoadingError):
        return "its Redis is starting; try again in a moment"
    if isinstance(error, ReadOnlyError):
        return "its Redis is a replica, which takes nothing; let broker_url name the primary"
    if isinstance(error, PreconditionFailed) and (queue := _QUEUE.search(text)):
        return (
            f"it is there with other arguments, which can't be changed ({text}); set queue.type back, or stop the "
            f"group's workers once it is empty, and then: rabbitmqctl delete_queue {queue[1]}"
        )
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.errno in BROKEN_OFF:
        return "the connection to it broke off"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return text or type(error).__name__


def _cause(error: BaseException) -> BaseException:
    """What kombu wrapped."""
    return error.__cause__ if isinstance(error, OperationalError) and error.__cause__ is not None else error
