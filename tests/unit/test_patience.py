"""Waiting for a service that is away."""

from __future__ import annotations

import threading
import time

import pytest

from devicevault.daemons.patience import LONGEST_PAUSE_S, Patience, Stopped
from devicevault.daemons.service import Progress
from devicevault.daemons.status import LiveStatus
from devicevault.errors import MalformedMessage, ServiceUnavailable


class Pauses(threading.Event):
    """Takes no time; notes how long each was to be and how old the progress would be at its end."""

    def __init__(self, progress: Progress, count: int) -> None:
        super().__init__()
        self.lengths_s: list[float] = []
        self.ages_s: list[float] = []
        self._progress = progress
        self._count = count

    def wait(self, timeout: float | None = None) -> bool:
        """Told to stop at the last."""
        assert timeout is not None
        its_end = time.monotonic() + timeout
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: its_end)
            self.ages_s.append(self._progress.age_s)
        self.lengths_s.append(timeout)
        return len(self.lengths_s) == self._count


def test_a_pause_between_two_attempts_is_no_lack_of_progress() -> None:
    """A watchdog of a few seconds must not end a consumer that waits for Redis as it means to."""
    progress = Progress()
    pauses = Pauses(progress, 8)

    def away() -> None:
        raise ServiceUnavailable("Redis is away", "start it")

    with pytest.raises(Stopped):
        Patience(pauses, progress, LiveStatus(str)).insist(away)
    assert max(pauses.lengths_s) == LONGEST_PAUSE_S
    assert max(pauses.ages_s) < 1


def test_a_service_that_is_back_is_back_whatever_the_action_came_to() -> None:
    progress = Progress()
    patience = Patience(Pauses(progress, 8), progress, LiveStatus(str))
    troubles: list[str] = []

    def refused() -> None:
        troubles.append(patience.trouble)
        if len(troubles) < 3:
            raise ServiceUnavailable("Redis is away", "start it")
        raise MalformedMessage("no result")

    with pytest.raises(MalformedMessage):
        patience.insist(refused)
    assert "Redis is away" in troubles[-1]
    assert patience.trouble == ""
