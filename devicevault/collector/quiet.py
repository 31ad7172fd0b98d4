"""What Celery and kombu tell louder than it is: a task given back, an acknowledgement lost with the broker's
connection, a broker that is away or refuses to write.

None of it is a fault here. A task given back is collected by the next worker, one that could not be acknowledged is
delivered again and recognised, and a broker is tried again for as long as it takes.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from billiard.exceptions import RestartFreqExceeded
from celery.exceptions import Reject
from redis.exceptions import RedisError

from devicevault.refusal import in_words

#: Seconds for which the same trouble with the broker is not told again.
TOLD_FOR_S: Final = 60.0
#: Who tells of trouble with the broker, each time it is tried again.
OF_THE_BROKER: Final = (
    "celery.worker.consumer.consumer",
    "celery.worker.pidbox",
    "kombu.pidbox",
    "kombu.transport.redis",
)


class Quieter(logging.Filter):
    """Leaves out that a task was given back, which the task itself tells, and a lost acknowledgement's traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], Reject):
            return False
        if record.exc_info and str(record.msg).startswith("Couldn't "):
            record.exc_info = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


class BrokerTrouble(logging.Filter):
    """Tells trouble with the broker in one line of words, and the same only once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        trouble = next((one for one in _exceptions(record) if isinstance(one, (RedisError, OSError))), None)
        if isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], RestartFreqExceeded):
            return False  # Each of those restarts was told with its reason.
        if trouble is None:
            return True
        record.msg, record.args = "the broker can't be used: %s; trying again", (in_words(trouble),)
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        now, words = time.monotonic(), record.getMessage()
        is_new = now - self._told.get(words, float("-inf")) >= TOLD_FOR_S
        if is_new:
            self._told[words] = now
        return is_new


class NoDeprecation(logging.Filter):
    """ "In Celery 6 running tasks will be cancelled when the connection is lost": ours go on on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "CPendingDeprecationWarning" not in record.getMessage()


def _exceptions(record: logging.LogRecord) -> list[object]:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return [*arguments, record.exc_info[1]] if record.exc_info else [*arguments]


def install() -> None:
    """From now on, in this process."""
    for name in ("celery.app.trace", "celery.worker.request"):
        logging.getLogger(name).addFilter(Quieter())
    broker_trouble = BrokerTrouble()
    for name in OF_THE_BROKER:
        logging.getLogger(name).addFilter(broker_trouble)
    logging.getLogger("py.warnings").addFilter(NoDeprecation())
