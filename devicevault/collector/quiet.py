"""What Celery tells louder than it is: a task given back, an acknowledgement lost with the broker's connection.

Neither is a fault here. A task given back is collected by the next worker, and one that could not be acknowledged is
delivered again and recognised.
"""

from __future__ import annotations

import logging
import warnings

from celery.exceptions import CPendingDeprecationWarning, Reject


class Quieter(logging.Filter):
    """Turns such records into one line without a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and (isinstance(record.exc_info[1], Reject) or str(record.msg).startswith("Couldn't ")):
            record.exc_info = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def install() -> None:
    """From now on, in this process."""
    for name in ("celery.app.trace", "celery.worker.request"):
        logging.getLogger(name).addFilter(Quieter())
    # "In Celery 6 running tasks will be cancelled when the connection is lost": ours go on on purpose.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
