"""What systemd says of DeviceVault's units on this host."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

#: There while systemd is the host's PID 1.
RUNNING: Final = Path("/run/systemd/system")
PROPERTIES: Final = ("Id", "LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts")
ANSWER_WITHIN_S: Final = 10

Unit = Mapping[str, str]


def is_running() -> bool:
    """Whether systemd runs this host, which it does in no container, and can be asked."""
    return RUNNING.is_dir() and shutil.which("systemctl") is not None


def timer_of(group: str) -> str:
    """The unit that is a group's clock. A group's name is an instance as it stands: nothing in it is ever escaped."""
    return f"devicevault-collect@{group}.timer"


def show(units: Iterable[str], properties: Iterable[str] = PROPERTIES) -> list[Unit] | None:
    """Properties of units, or of the loaded ones a pattern matches; ``None`` when systemd can't be asked."""
    command = ["systemctl", "show", "--all", "--property", ",".join(properties), "--", *units]
    # Times as moment() reads them, whatever this host's zone is.
    environ = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=True, env=environ)
    except (OSError, subprocess.SubprocessError):
        return None
    return parsed(done.stdout)


def parsed(answer: str) -> list[Unit]:
    """The blocks of ``KEY=value`` lines in the answer of ``systemctl show``."""
    blocks = [block.splitlines() for block in answer.split("\n\n") if block.strip()]
    return [{key: value for key, _, value in (line.partition("=") for line in block)} for block in blocks]


def moment(value: str) -> datetime | None:
    """``Wed 2026-11-25 00:29:58 UTC``, as :func:`show` has times; ``None`` for what never was or will be."""
    try:
        return datetime.strptime(value, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None
