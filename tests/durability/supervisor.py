"""Starts daemons and starts them again, as systemd does it by their units."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.servers import wait_until

#: ``RestartSec=`` is 10 in the units; shorter here, for more faults in the same time.
RESTART_S: Final = 2.0
#: ``WatchdogSec=``, as in the units.
WATCHDOG_S: Final = 120.0
READY_WITHIN_S: Final = 120.0
STOPPED_WITHIN_S: Final = 45.0
LOG_TAIL_LINES: Final = 25


@dataclass(frozen=True)
class Exit:
    """A daemon that ended without having been told to."""

    daemon: str
    reason: str


class Unit:
    """One daemon, running while the ``with`` block lasts, whatever is done to its process."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        #: Set by whoever ends the process on purpose.
        self._expected = False
        self._fed_at = 0.0
        self.starts = 0
        #: What nobody asked for.
        self.exits: list[Exit] = []
        self._thread = threading.Thread(target=self._keep_running, name=name, daemon=True)

    def __enter__(self) -> Unit:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.terminate()
        self._thread.join(STOPPED_WITHIN_S)
        if self._thread.is_alive():
            self.exits.append(Exit(self.name, f"did not stop within {STOPPED_WITHIN_S:g} s"))
            self.kill()
            self._thread.join()

    def wait_until_ready(self) -> None:
        """Until it said READY=1. Raises AssertionError with the end of its log."""
        wait_until(self._ready.is_set, READY_WITHIN_S, or_say=lambda: f"{self.name} is not ready:\n{self.log_tail()}")

    def kill(self) -> None:
        """``kill -9``."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Tell it to stop; it is started again unless the block ends."""
        self._signal(signal.SIGTERM)

    def restart(self) -> None:
        """``systemctl restart``, as far as the daemon's end: it has drained when this returns."""
        process = self._process
        self.terminate()
        if process is not None:
            process.wait(STOPPED_WITHIN_S)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP, ends=False)

    def thaw(self) -> None:
        # What a frozen daemon could not tell its watchdog is no fault of its own.
        self._fed_at = time.monotonic()
        self._signal(signal.SIGCONT, ends=False)

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def _signal(self, number: signal.Signals, *, ends: bool = True) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            self._expected = self._expected or ends
            process.send_signal(number)

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.bind("")  # An abstract address which the kernel picks.
                notify.settimeout(0.2)
                reason = self._run(notify)
            if not self._expected:
                self.exits.append(Exit(self.name, reason))
            self._expected = False
            self._stopping.wait(RESTART_S)

    def _run(self, notify: socket.socket) -> str:
        """Runs the process until it ends; tells why it ended."""
        address = notify.getsockname()[1:].decode()
        environ = {
            **self._environ,
            "NOTIFY_SOCKET": f"@{address}",
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1_000_000)),
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._process = process
        self.starts += 1
        self._fed_at = time.monotonic()
        if self._stopping.is_set():
            process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            with suppress(TimeoutError):
                self._heard(notify.recv(4096))
            if time.monotonic() - self._fed_at > WATCHDOG_S:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return f"its watchdog was not fed for {WATCHDOG_S:g} s"
        return f"ended by itself with {process.returncode}"

    def _heard(self, datagram: bytes) -> None:
        if b"READY=1" in datagram:
            self._ready.set()
        if b"WATCHDOG=1" in datagram or b"READY=1" in datagram:
            self._fed_at = time.monotonic()
