"""One process of a worker, as its supervisor sees it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from devicevault.daemons.worker_state import FIELD, WorkerState

#: Seconds before a process that ended is started again; doubled each time, until one lasted for as long as the longest.
AGAIN_S: Final = 1.0
AGAIN_MAX_S: Final = 60.0
#: ``prctl(2)``: the signal a process gets when its parent dies.
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class Child:
    """Started, listened to, and started again."""

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        ready_within_s: float,
        interval_s: float,
    ) -> None:
        """``interval_s`` is that of its watchdog; 0.0 when it has none."""
        self.number = number
        #: What it told last, and the sum of what those before it did.
        self.state = WorkerState()
        self.past = WorkerState()
        self.is_ready = False
        self.is_reloading = False
        #: When it is to be started again (``time.monotonic``).
        self.due_at = 0.0
        self._command = command
        self._environ = environ
        self._ready_within_s = ready_within_s
        self._interval_s = interval_s
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_at = self._heard_by = float("inf")
        self._again_s = AGAIN_S

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Starts it. For the main thread of a process that has no other: the child dies with the thread, and forks."""
        parent = os.getpid()
        self.state = WorkerState()
        self._ready_at = float("inf")
        self._heard_by = time.monotonic() + self._ready_within_s
        # In a process group of its own, so that Ctrl-C reaches the supervisor alone, which then stops all in order.
        self._process = subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=lambda: _die_with(parent),
        )

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; nothing happens while it does not run."""
        if self._process:
            self._process.send_signal(number)

    def reload(self) -> None:
        """Lets it read its files anew; :attr:`is_reloading` until it has told how that went."""
        self.is_reloading = True
        self.send(signal.SIGHUP)

    def hear(self, told: Mapping[str, str]) -> None:
        """Takes one of its notifications."""
        if "STATUS" in told:
            self.state = _state(told)
        if "READY" in told:
            if not self.is_ready:
                self._ready_at = time.monotonic()
            self.is_ready, self.is_reloading = True, False
        if self._ready_at < float("inf") and not told.keys().isdisjoint(("READY", "WATCHDOG")):
            self._heard_by = time.monotonic() + (self._interval_s or float("inf"))
        if "STOPPING" in told:
            self.is_ready = self.is_reloading = False

    def fault(self) -> str:
        """What it did not do in time; empty while all is well."""
        if not self._process or time.monotonic() < self._heard_by:
            return ""
        if self._ready_at == float("inf"):
            return f"it is not ready after {self._ready_within_s:.0f} s"
        return f"no progress for {self._interval_s:.0f} s"

    def kill(self) -> None:
        """Ends it at once."""
        self._heard_by = float("inf")
        self.send(signal.SIGKILL)

    def ended(self) -> int | None:
        """Its exit code, the negative number of a signal that killed it; None if it runs, or was asked before."""
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        self._process = None
        self.past = replace(
            self.past, done=self.past.done + self.state.done, failed=self.past.failed + self.state.failed
        )
        # What it said before it was ready tells why it ended.
        self.state = WorkerState(doing="to be started again" if self.is_ready else self.state.doing)
        self.is_ready = self.is_reloading = False
        lasted_s = time.monotonic() - self._ready_at
        self._again_s = AGAIN_S if lasted_s >= AGAIN_MAX_S else self._again_s
        self.due_at = time.monotonic() + self._again_s
        self._again_s = min(2 * self._again_s, AGAIN_MAX_S)
        return code


def _state(told: Mapping[str, str]) -> WorkerState:
    try:
        return WorkerState.read(told[FIELD])
    except (KeyError, ValueError, TypeError):
        # Before it is ready, it has words alone.
        return WorkerState(doing=told["STATUS"])


def _die_with(parent: int) -> None:
    """In the child: no process outlives its supervisor, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
