"""A list of devices that a program prints."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.table import FilledText, SourceTable
from devicevault.inventory.sources.text import Layout, Record

_MAX_BYTES: Final = 64 * 1024 * 1024
_BY_HAND: Final = "run it by hand, as the user who collects, to see why"


class CommandTable(Layout, SourceTable):
    """``kind = "command"``: JSON, YAML or CSV on the standard output of a program, which runs without a shell."""

    kind: Literal["command"]
    command: Annotated[list[FilledText], Field(min_length=1)]

    def ask(self, folder: Path) -> list[Record]:
        return self.parse(_output_of(self.command, folder, self.timeout_s))


def _output_of(command: list[str], folder: Path, timeout_s: float) -> bytes:
    # Neither the arguments nor what the program complains of are told: both may hold a secret.
    program = command[0]
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise SourceFailed(f"the command {program} can't be started: {error.strerror}") from None
    is_late = threading.Event()

    def end_late() -> None:
        is_late.set()
        _end(process)

    timer = threading.Timer(timeout_s, end_late)
    timer.daemon = True
    timer.start()
    try:
        with process:
            output = process.stdout.read(_MAX_BYTES + 1) if process.stdout else b""
            if len(output) > _MAX_BYTES:
                _end(process)
    finally:
        timer.cancel()
    if is_late.is_set():
        raise SourceFailed(f"the command {program} took longer than {timeout_s:g} s", "raise timeout_s, up to 90")
    if len(output) > _MAX_BYTES:
        raise SourceFailed(f"the command {program} printed over {_MAX_BYTES // 1024 // 1024} MB")
    if process.returncode != 0:
        raise SourceFailed(f"the command {program} ended with code {process.returncode}", _BY_HAND)
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
