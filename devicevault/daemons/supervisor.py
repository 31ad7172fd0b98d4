"""A worker of several processes: one thread that starts them, passes signals on, and speaks to systemd for all.

A process that ends or hangs is started again by itself, and costs the others no session. The worker as a whole ends
when it is told to, or when not one of its processes is ready: then systemd decides, by the exit code of the last.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections.abc import Sequence
from typing import Final

from devicevault.daemons.child import Child
from devicevault.daemons.notify_socket import NotifySocket
from devicevault.daemons.service import (
    PINGS_PER_INTERVAL,
    notify,
    notify_ready,
    notify_reloading,
    notify_status,
    notify_stopping,
    watchdog_interval_s,
)
from devicevault.daemons.signals import Signals
from devicevault.daemons.worker_state import merged
from devicevault.errors import ExitCode

logger = logging.getLogger(__name__)

#: Seconds between two looks at what nobody tells.
LOOK_S: Final = 1.0


class Supervisor:
    """Runs the processes until all have ended. For the main thread of a process that has no other."""

    def __init__(self, commands: Sequence[Sequence[str]], *, ready_within_s: float) -> None:
        """``commands`` start the processes, which tell systemd of themselves as every daemon does."""
        self._socket = NotifySocket()
        self._interval_s = watchdog_interval_s()
        environ = {**os.environ, "NOTIFY_SOCKET": self._socket.address}
        environ.pop("WATCHDOG_PID", None)
        self._children = [
            Child(number, command, environ, ready_within_s=ready_within_s, interval_s=self._interval_s)
            for number, command in enumerate(commands, 1)
        ]
        self._told = ""
        self._is_ready = self._is_reloading = self._is_stopping = False
        #: Those that are still to read their files anew.
        self._outdated: list[Child] = []
        self._exit_code = ExitCode.DONE
        self._ping_at = 0.0

    def run(self) -> int:
        """The exit code of the worker."""
        wanted = Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        with self._socket, wanted as signals, selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(signals, selectors.EVENT_READ)
            while True:
                self._start()
                selector.select(LOOK_S)
                for number in signals.came():
                    self._obey(number)
                self._hear()
                self._bury()
                if self._is_stopping and not any(child.pid for child in self._children):
                    return self._exit_code
                self._end_what_hangs()
                self._reload()
                self._tell()

    def _start(self) -> None:
        """Starts the first process alone: where something is wrong with files or services, one is enough to say it."""
        if self._is_stopping:
            return
        first, *others = self._children
        for child in self._children if first.is_ready or any(child.is_ready for child in others) else [first]:
            if not child.pid and time.monotonic() >= child.due_at:
                child.start()

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP and not self._is_stopping:
            notify_reloading()
            self._is_reloading = True
            self._outdated = list(self._children)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._stop(number)

    def _stop(self, number: signal.Signals) -> None:
        self._is_stopping = True
        for child in self._children:
            child.send(number)
        notify_stopping(self._line())

    def _hear(self) -> None:
        by_pid = {child.pid: child for child in self._children if child.pid}
        for pid, told in self._socket.heard():
            if pid in by_pid:
                by_pid[pid].hear(told)

    def _bury(self) -> None:
        for child in self._children:
            code = child.ended()
            if code is None:
                continue
            if self._is_stopping:
                # A process that was starting knew no better end than the signal's own.
                self._exit_code = self._exit_code or (_exit_code(code) if code != -signal.SIGTERM else ExitCode.DONE)
            elif any(other.is_ready for other in self._children):
                logger.error(
                    "process %d of %d ended (%s), its tasks go back to the queue; it is started again in %.0f s",
                    child.number,
                    len(self._children),
                    _ending(code),
                    max(0.0, child.due_at - time.monotonic()),
                )
            else:
                logger.error("process %d of %d ended (%s)", child.number, len(self._children), _ending(code))
                self._exit_code = _exit_code(code)
                self._stop(signal.SIGTERM)

    def _end_what_hangs(self) -> None:
        for child in self._children:
            if fault := child.fault():
                logger.error("process %d of %d is killed: %s", child.number, len(self._children), fault)
                child.kill()

    def _reload(self) -> None:
        """One after the other: what the first can't read, none of the others is asked to."""
        if not self._is_reloading or any(child.is_reloading for child in self._children):
            return
        if any(child.state.trouble for child in self._children if child not in self._outdated):
            self._outdated = []
        ready = next((child for child in self._outdated if child.is_ready), None)
        if ready:
            self._outdated.remove(ready)
            ready.reload()
        elif self._is_ready:
            self._is_reloading = False
            notify_ready(self._line())

    def _tell(self) -> None:
        if self._interval_s and time.monotonic() >= self._ping_at:
            # What a process does is told above; this is that the loop turns.
            notify("WATCHDOG=1")
            self._ping_at = time.monotonic() + self._interval_s / PINGS_PER_INTERVAL
        becomes_ready = not self._is_ready and all(child.is_ready for child in self._children)
        self._is_ready = self._is_ready or becomes_ready
        line = self._line()
        if becomes_ready:
            notify_ready(line)
        elif line != self._told:
            notify_status(line)
        self._told = line

    def _line(self) -> str:
        """What ``systemctl status`` shows."""
        running = [child for child in self._children if child.pid or self._is_ready] or self._children[:1]
        state = merged({child.number: child.state for child in running}, (child.past for child in self._children))
        return state.line() if self._is_ready else state.doing


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _exit_code(code: int) -> int:
    """What systemd is told of a process that ended; a signal that killed it is a failure like any other."""
    return code if code >= 0 else ExitCode.DEVICES_FAILED
