"""How long a command takes, as its user waits for it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import median


@dataclass(frozen=True)
class Took:
    """Medians of several runs."""

    seconds: float
    cpu_s: float


def took(
    command: Sequence[str | Path], environ: Mapping[str, str], runs: int, *, exit_codes: tuple[int, ...] = (0,)
) -> Took:
    """Run a command several times. Raises AssertionError where it ends with another exit code."""
    found = []
    for _ in range(runs):
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        answer = process.stdout.read() if process.stdout else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode in exit_codes, f"{command} ended with {process.returncode}: {answer.decode()}"
        found.append(Took(time.monotonic() - began, used.ru_utime + used.ru_stime))
    return Took(median([one.seconds for one in found]), median([one.cpu_s for one in found]))
