"""Long answers on a terminal go through a pager, as ``git`` does it; into a file or a pipe they go as they are."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from devicevault.settings.sources import PAGER_VARIABLE

#: For ``less``: leave at once what fits the screen, pass colours on, keep the screen. No shell out of a pager that may
#: run as root.
ENVIRONMENT: Final = {"LESS": "FRX", "LESSSECURE": "1"}


class _IntoPager(io.TextIOWrapper):
    """The pager's standard input; to whoever writes it is the terminal it stands for."""

    def isatty(self) -> bool:
        return True


@contextmanager
def paged() -> Iterator[None]:
    """Let what the block prints go through ``$DEVICEVAULT_PAGER``, ``$PAGER`` or ``less``; ``cat`` is none."""
    pager = _pager()
    if not pager:
        yield
        return
    terminal = sys.stdout
    terminal.flush()
    try:
        process = subprocess.Popen(pager, stdin=subprocess.PIPE, env={**ENVIRONMENT, **os.environ, "LESSSECURE": "1"})
    except OSError:  # it is not installed
        yield
        return
    if process.stdin is None:
        raise RuntimeError("the pager has no standard input")
    sys.stdout = _IntoPager(process.stdin, encoding=terminal.encoding, errors="replace", write_through=False)
    try:
        with suppress(BrokenPipeError):  # read enough
            yield
            sys.stdout.flush()
    finally:
        with suppress(BrokenPipeError):
            sys.stdout.close()
        sys.stdout = terminal
        _wait(process)


def _pager() -> list[str]:
    if not sys.stdout.isatty():
        return []
    chosen = os.environ.get(PAGER_VARIABLE, os.environ.get("PAGER", "less"))
    try:
        words = shlex.split(chosen)
    except ValueError:
        return []
    return [] if words in ([], ["cat"]) else words


def _wait(process: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue  # it is the pager's to deal with
        return
