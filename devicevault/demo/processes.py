"""The demo's daemons: real processes, started as systemd would start them, and waited for until they say READY=1."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from devicevault.errors import ServiceUnavailable

READY_WITHIN_S: Final = 30
STOPPED_WITHIN_S: Final = 10
LOG_TAIL_LINES: Final = 15


class Daemon:
    """One process with a log file and a notification socket of its own, while the ``with`` block lasts."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Daemon:
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # An abstract address which the kernel picks: a path in a deep folder may be too long for a socket.
        self._notify.bind("")
        address = self._notify.getsockname()[1:].decode()
        with self.log.open("wb") as log:
            # In a session of its own, so that Ctrl-C reaches the demo alone, which then stops it in order.
            self._process = subprocess.Popen(
                self._command,
                env={**self._environ, "NOTIFY_SOCKET": f"@{address}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notify.close()
        if self._process is None or not self._is_running():
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process's id; 0 where there is none."""
        return self._process.pid if self._process is not None else 0

    def wait_until_ready(self) -> None:
        """Wait for READY=1. Raises :class:`ServiceUnavailable` with the end of the log when it does not come."""
        deadline = time.monotonic() + READY_WITHIN_S
        while self._is_running() and time.monotonic() < deadline:
            if b"READY=1" in self._next_notification():
                # Nobody listens from now on: a full socket would hold the daemon up.
                self._notify.close()
                return
        raise ServiceUnavailable(f"the {self.name} did not get ready; its log ends:\n{self.log_tail()}")

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _next_notification(self) -> bytes:
        self._notify.settimeout(0.1)
        try:
            return self._notify.recv(4096)
        except TimeoutError:
            return b""

    def log_tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
