"""A secret that a program tells, such as ``pass show network/backup``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from devicevault.errors import CredentialUnusable
from devicevault.own_processor import run_anywhere

#: Seconds a failure is remembered, so that a broken program is not started again for every waiting device.
_FAILURE_CACHE_S: Final = 10.0


@dataclass
class _Answer:
    text: str = field(default="", repr=False)
    failure: CredentialUnusable | None = None
    #: On the monotonic clock.
    valid_until: float = 0.0


@dataclass(frozen=True)
class CommandSource:
    """Runs a program without a shell and takes what it prints; devices that come together share one run."""

    command: tuple[str, ...] = field(repr=False)
    timeout_s: float
    cache_s: float
    folder: Path
    _answer: _Answer = field(default_factory=_Answer, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def read(self) -> str:
        answer = self._answer
        with self._lock:
            if time.monotonic() >= answer.valid_until:
                self._renew(answer)
        if answer.failure is not None:
            raise CredentialUnusable(answer.failure.problem, answer.failure.fix)
        return answer.text

    def _renew(self, answer: _Answer) -> None:
        try:
            answer.text, answer.failure = self._run(), None
            kept_s = self.cache_s
        except CredentialUnusable as failure:
            answer.text, answer.failure = "", failure
            kept_s = _FAILURE_CACHE_S
        answer.valid_until = time.monotonic() + kept_s

    def _run(self) -> str:
        # Neither the arguments nor what the program complains of are told: both may hold a secret.
        program = self.command[0]
        fix = "run it by hand as the worker's user to see why"
        try:
            process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise CredentialUnusable(f"the command {program} can't be started: {error.strerror}", fix) from None
        run_anywhere(process.pid)
        with process:
            try:
                output, _ = process.communicate(timeout=self.timeout_s)
            except subprocess.TimeoutExpired:
                _end(process)
                problem = f"the command {program} took longer than {self.timeout_s:g} s"
                raise CredentialUnusable(problem, "it must ask nothing; raise timeout_s when it is only slow") from None
        if process.returncode != 0:
            raise CredentialUnusable(f"the command {program} ended with code {process.returncode}", fix)
        try:
            return output.decode()
        except UnicodeDecodeError:
            raise CredentialUnusable(f"the command {program} printed no UTF-8 text", fix) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
