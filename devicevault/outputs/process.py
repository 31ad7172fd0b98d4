"""Run a program with a time limit; nothing it does can hold its caller up for longer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from devicevault.errors import ServiceUnavailable

#: Seconds between two looks whether the caller is to stop.
_LOOK_S: Final = 0.2
#: What is kept of a program's output.
OUTPUT_MAX_BYTES: Final = 1 << 20
#: Files that only their owner may read, whatever the umask of the process.
PRIVATE_UMASK: Final = 0o077


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    code: int
    output: str
    errors: str


class TimedOut(ServiceUnavailable):
    """A program took too long, or its caller was told to stop; it was killed."""


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    feed: Iterable[bytes] = (),
    environ: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
    inherit: Sequence[int] = (),
) -> Finished:
    """Run ``command`` to its end and hand ``feed`` to its standard input; it has the descriptors ``inherit`` open too.

    It and whatever it started are killed after ``timeout_s``, or once ``stop`` is set; that raises :class:`TimedOut`.
    Raises OSError when it can't be started; what ``feed`` raises ends the program and is raised.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            umask=PRIVATE_UMASK,
            pass_fds=inherit,
        )
        ended = threading.Event()
        guard = threading.Thread(target=_guard, args=(process, time.monotonic() + timeout_s, stop, ended), daemon=True)
        guard.start()
        try:
            _hand_over(process, feed)
            # Not reaped yet: until then nobody else can get its number, and what it left behind can be ended by it.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            ended.set()
            guard.join()
            _kill(process)
            process.wait()
        finished = Finished(process.returncode, _start_of(output), _start_of(errors))
    if finished.code == -signal.SIGKILL:
        why = "the daemon stops" if stop is not None and stop.is_set() else f"it took longer than {timeout_s:g} s"
        raise TimedOut(f"{Path(command[0]).name} was ended: {why}")
    return finished


def _hand_over(process: subprocess.Popen[bytes], feed: Iterable[bytes]) -> None:
    stream = process.stdin
    if stream is None:
        return
    # A program that ended early says why by its exit code.
    with contextlib.suppress(BrokenPipeError):
        for piece in feed:
            stream.write(piece)
        stream.flush()
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def _guard(
    process: subprocess.Popen[bytes], deadline: float, stop: threading.Event | None, ended: threading.Event
) -> None:
    while not ended.wait(min(_LOOK_S, max(0.0, deadline - time.monotonic()))):
        if time.monotonic() >= deadline or (stop is not None and stop.is_set()):
            _kill(process)
            return


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _start_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(OUTPUT_MAX_BYTES).decode(errors="replace")
