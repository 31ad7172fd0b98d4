"""While many results wait, further processes store them as well: Python's threads share one processor.

The consumer starts them, hears what they stored, and lets them end by closing their input. They read the stream as
consumers of their own; metrics, mirror and notices are the affair of the one that started them alone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Final, cast

from devicevault.outputs.tally import Tally
from devicevault.settings import ConsumerSettings, Settings

logger = logging.getLogger(__name__)

#: Seconds of work from which on a further process is worth its start, which takes about one.
WORTH_S: Final = 3.0
#: Processes of a consumer where the settings leave it to us: what was measured, and what most databases can take.
USUAL: Final = 2
#: Seconds without a word after which a process counts as hung: as long as the unit's watchdog has patience.
SILENT_S: Final = 120.0
#: Seconds a process may take to finish what it has in hand.
FINISH_S: Final = 60.0
#: Seconds after one ended badly in which none is started.
AGAIN_S: Final = 60.0
#: What belongs to systemd's talk with the consumer itself.
_NOTIFY: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


def processes_of(consumer: ConsumerSettings) -> int:
    """How many processes a consumer with these settings has while many results wait."""
    return consumer.processes or min(USUAL, len(os.sched_getaffinity(0)))


class BacklogProcess:
    """One further process, listened to by a thread until it has ended."""

    def __init__(self, number: int, settings: Settings, told: Callable[[Tally], None]) -> None:
        """``number`` is 2 for the first of them. For as long as it runs, it goes by these ``settings``."""
        self.number = number
        self.stored = self.set_aside_count = 0
        self._told = told
        self._process = subprocess.Popen(
            # -P: no module is looked for in the folder it is started in.
            [sys.executable, "-P", "-m", "devicevault.daemons.backlog_process", str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in _NOTIFY},
            # Ctrl-C reaches the consumer alone, which then lets the others finish.
            process_group=0,
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        self._thread = threading.Thread(target=self._listen, args=(settings,), name=f"backlog-{number}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` as long as it runs, or not all it said was heard."""
        return None if self._thread.is_alive() else self._process.returncode

    def let_end(self) -> None:
        """Have it finish what is in hand, and take no more."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def wait(self) -> None:
        """Wait until it has; it is killed when that takes too long."""
        self._thread.join(FINISH_S)
        if self._thread.is_alive():
            self._process.kill()
            self._thread.join()

    def _listen(self, settings: Settings) -> None:
        # Where it ended, or is to end, before it has read them, its exit code tells more.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._input.write(pickle.dumps(settings))
            self._input.flush()
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        rest = b""
        while poll.poll(1000 * SILENT_S):
            some = os.read(self._output.fileno(), 65536)
            if not some:
                break
            *lines, rest = (rest + some).split(b"\n")
            for line in filter(None, lines):
                self._hear(line)
        else:
            logger.error("process %d is killed: no progress for %.0f s", self.number, SILENT_S)
            self._process.kill()
        self._process.wait()
        self._output.close()

    def _hear(self, line: bytes) -> None:
        said: dict[str, Any] = json.loads(line)
        self.stored, self.set_aside_count = said["stored"], said["set_aside"]
        self._told(Tally.from_json(said["tally"]))


class Backlog:
    """Starts the processes, as long as the ``with`` block lasts."""

    def __init__(self, settings: Settings, told: Callable[[Tally], None]) -> None:
        """``told`` hears of each batch they stored, from threads of their own; it raises nothing."""
        self._settings = settings
        self._told = told
        self._running: list[BacklogProcess] = []
        #: Of those that have ended.
        self._stored = self._set_aside_count = 0
        self._due_at = 0.0

    @property
    def stored(self) -> int:
        """Results they stored."""
        return self._stored + sum(one.stored for one in self._running)

    @property
    def set_aside_count(self) -> int:
        """Results of which they made dead letters."""
        return self._set_aside_count + sum(one.set_aside_count for one in self._running)

    def look(self, waiting: int, seconds: float) -> None:
        """See that enough processes run, where ``waiting`` results would take one process so many ``seconds``."""
        self._bury()
        wanted = processes_of(self._settings.consumer) - 1 if seconds >= WORTH_S else 0
        numbers = set(range(2, wanted + 2)) - {one.number for one in self._running}
        if numbers and time.monotonic() >= self._due_at:
            try:
                one = BacklogProcess(min(numbers), self._settings, self._told)
            except OSError as error:
                self._due_at = time.monotonic() + AGAIN_S
                logger.warning("%d results wait, and no further process can be started: %s", waiting, error.strerror)
                return
            logger.info("%d results wait: process %d (%d) stores them as well", waiting, one.number, one.pid)
            self._running.append(one)

    def renew(self, settings: Settings) -> None:
        """Go by these settings: those that run end, and are started anew where they are still wanted."""
        self._settings = settings
        for one in list(self._running):
            one.let_end()

    def _bury(self) -> None:
        for one in [one for one in self._running if one.exit_code is not None]:
            self._running.remove(one)
            self._stored += one.stored
            self._set_aside_count += one.set_aside_count
            if one.exit_code:
                self._due_at = time.monotonic() + AGAIN_S
                logger.error(
                    "process %d ended badly (%d); what it had in hand is taken over, and none is started for %.0f s",
                    one.number,
                    one.exit_code,
                    AGAIN_S,
                )
            else:
                logger.info("process %d has caught up; it stored %d results", one.number, one.stored)

    def __enter__(self) -> Backlog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._running:
            one.let_end()
        for one in self._running:
            one.wait()
        self._bury()
