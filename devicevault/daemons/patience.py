"""What needs Redis or the database is done again and again while one of them is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import Final, TypeVar

from devicevault.daemons.service import Progress, notify_status
from devicevault.daemons.status import LiveStatus
from devicevault.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0


class Stopped(Exception):  # noqa: N818 - not an error
    """Someone wants the daemon to end."""


class Patience:
    """Waits for services, and tells systemd and the journal for which."""

    def __init__(self, stop: Event, progress: Progress, status: LiveStatus) -> None:
        #: Why the daemon can't work at the moment; empty when it can.
        self.trouble = "starting"
        self._stop = stop
        self._progress = progress
        self._status = status

    def insist(self, action: Callable[[], T]) -> T:
        """What ``action`` returns once the service it needs is there.

        Raises :class:`Stopped` where it would have to wait after ``stop`` is set: what is in hand is finished first.
        """
        pause_s = FIRST_PAUSE_S
        told = ""
        while True:
            self._progress.made()
            try:
                answer = action()
            except ServiceUnavailable as error:
                if str(error) != told:
                    told = self.trouble = str(error)
                    logger.warning("%s; trying again", told)
                    notify_status(f"waiting: {told}")
                self._progress.made(next_in_s=pause_s)
                if self._stop.wait(pause_s):
                    raise Stopped from None
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            except Exception:
                self._back_after(told)
                raise
            self._back_after(told)
            return answer

    def _back_after(self, told: str) -> None:
        """The service is there again, whatever the action came to."""
        if told:
            logger.info("back at work after: %s", told)
            self.trouble = ""
            self._status.tell()
