"""Work done again and again beside the consumer, in a thread of its own: whatever happens there, results are stored."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol

from devicevault.errors import DeviceVaultError, ServiceUnavailable
from devicevault.outputs.process import TimedOut
from devicevault.outputs.progress import note_failure
from devicevault.store import Store, open_store
from devicevault.store.turns import alone

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 900.0
#: Seconds it rests after a turn that took long, at most.
LONGEST_REST_S: Final = 60.0
#: Seconds until it looks again, where another consumer is at it.
TAKEN_S: Final = 5.0
#: Seconds a daemon that stops waits for a turn to end.
STOP_WITHIN_S: Final = 10.0


class Output(Protocol):
    """Something derived from the store."""

    name: str
    #: Seconds between two turns when nobody wakes it.
    every_s: float
    #: Seconds between two turns, however often it is woken: results come in bursts.
    least_pause_s: float

    def turn(self, store: Store) -> float | None:
        """Do what there is to do, and tell after how many seconds to come again if that is sooner than ``every_s``.

        Raises :class:`~devicevault.errors.DeviceVaultError`.
        """


class Loop:
    """Takes turns as long as the ``with`` block lasts. A turn that fails is told once, kept as the output's state, and
    tried again ever more rarely.
    """

    def __init__(self, output: Output, database_url: Callable[[], str], stop: threading.Event) -> None:
        """``stop`` is set when the block ends; what the output runs is to end with it."""
        self.output = output
        self._database_url = database_url
        self._stop = stop
        self._wake = threading.Event()
        self._again = threading.Event()
        self._store: Store | None = None
        self._failures = 0
        #: Why it fails, once that is more than a hiccup; empty when it does not.
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name=output.name, daemon=True)

    def wake(self) -> None:
        """There may be something to do. Raises nothing, takes no time."""
        self._wake.set()

    def retry(self) -> None:
        """What failed may go now: nobody waits until it would be tried again by itself."""
        self._again.set()
        self._wake.set()

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.retry()
        self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            before_s = time.thread_time()
            pause_s = self.turn()
            # However large the fleet, it takes no more than a twentieth of a processor from who stores results.
            rest_s = min(20 * (time.thread_time() - before_s), LONGEST_REST_S)
            woken_at = time.monotonic() + max(self.output.least_pause_s, rest_s)
            if self._failures:
                self._again.wait(pause_s)
            elif self._wake.wait(pause_s):
                self._stop.wait(max(0.0, woken_at - time.monotonic()))
            self._wake.clear()
            self._again.clear()
        self._close()

    def turn(self) -> float:
        """One turn; seconds until the next. Raises nothing."""
        try:
            if self._store is None:
                self._store = open_store(self._database_url())
            with alone(self._store, self.output.name) as is_alone:
                sooner_s = self.output.turn(self._store) if is_alone else TAKEN_S
        except TimedOut as error:
            if self._stop.is_set():
                return 0.0
            return self._failed(str(error))
        except DeviceVaultError as error:
            return self._failed(str(error))
        except Exception as error:
            logger.debug("%s", self.output.name, exc_info=True)
            return self._failed(f"{type(error).__name__}: {error}")
        if self.trouble:
            logger.info("%s works again", self.output.name)
        self._failures, self.trouble = 0, ""
        return self.output.every_s if sooner_s is None else min(sooner_s, self.output.every_s)

    def _failed(self, problem: str) -> float:
        self._failures += 1
        # A first failure is none yet: the database may be about to be made, or to come back.
        if self._failures > 1 and problem != self.trouble:
            logger.warning("%s: %s; trying again", self.output.name, problem)
            self.trouble = problem
        self._keep_failure(problem)
        self._close()
        pause_s: float = FIRST_PAUSE_S * 2 ** min(self._failures - 1, 20)
        return min(pause_s, LONGEST_PAUSE_S)

    def _keep_failure(self, problem: str) -> None:
        try:
            if self._store is not None:
                with self._store.session() as session:
                    note_failure(session, self.output.name, problem)
        except ServiceUnavailable as error:
            logger.debug("%s: %s", self.output.name, error)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
