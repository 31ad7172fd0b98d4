"""The units of this host: what failed, how it ended, and which group has no timer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from devicevault.doctor.finding import Finding
from devicevault.inventory import Inventory

UNITS: Final = "units"
TIMERS: Final = "timers"
#: There while systemd is the host's PID 1.
RUNNING: Final = Path("/run/systemd/system")
PROPERTIES: Final = ("Id", "LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts")
ANSWER_WITHIN_S: Final = 10

Unit = Mapping[str, str]


def look(inventory: Inventory | None) -> Iterator[Finding]:
    """What systemd says of DeviceVault's units; nothing where there is no systemd or no package."""
    if not RUNNING.is_dir() or shutil.which("systemctl") is None:
        return
    groups = sorted({device.group for device in inventory or () if device.enabled})
    loaded = show(["devicevault-*.service"])
    timers = show([timer_of(group) for group in groups]) if groups else []
    if loaded is None or timers is None:
        yield Finding.unknown(UNITS, "systemctl does not answer")
        return
    yield from judge_units(loaded)
    yield from judge_timers(groups, timers)


def timer_of(group: str) -> str:
    """The unit that is a group's clock."""
    return f"devicevault-collect@{group}.timer"


def show(units: Iterable[str]) -> list[Unit] | None:
    """Properties of units, or of the loaded ones a pattern matches; ``None`` when systemd can't be asked."""
    command = ["systemctl", "show", "--all", "--property", ",".join(PROPERTIES), "--", *units]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return parsed(done.stdout)


def parsed(answer: str) -> list[Unit]:
    """The blocks of ``KEY=value`` lines in the answer of ``systemctl show``."""
    blocks = [block.splitlines() for block in answer.split("\n\n") if block.strip()]
    return [{key: value for key, _, value in (line.partition("=") for line in block)} for block in blocks]


def judge_units(units: Iterable[Unit]) -> Iterator[Finding]:
    """What is to be said of services that are loaded."""
    running = []
    for unit in units:
        name, state = unit.get("Id", ""), unit.get("ActiveState", "")
        ending = f"{unit.get('Result', '?')}, exit code {unit.get('ExecMainStatus', '?')}"
        if unit.get("LoadState") != "loaded" or state in ("inactive", "deactivating"):
            continue
        fix = f"journalctl -u {name} tells why"
        if state == "failed":
            yield Finding.fault(UNITS, f"{name} failed: {ending}", f"{fix}; then: systemctl restart {name}")
        elif unit.get("SubState") == "auto-restart":
            yield Finding.fault(UNITS, f"{name} ends again and again: {ending}", fix)
        elif state == "activating" and not name.startswith("devicevault-collect@"):
            yield Finding.warning(UNITS, f"{name} is starting and not ready yet", fix)
        else:
            running.append(name.removesuffix(".service"))
    if running:
        yield Finding.ok(UNITS, f"running: {', '.join(sorted(running))}")


def judge_timers(groups: Iterable[str], timers: Iterable[Unit]) -> Iterator[Finding]:
    """Which of these groups nobody collects by the clock."""
    by_name = {timer.get("Id", ""): timer for timer in timers}
    scheduled = []
    for group in groups:
        timer = by_name.get(timer_of(group), {})
        if timer.get("LoadState") == "not-found":
            return  # the package is not installed here: some other clock may do it
        if timer.get("ActiveState") == "active":
            scheduled.append(group)
        else:
            yield Finding.warning(
                TIMERS,
                f"group {group} has no timer: its devices are collected only when somebody asks",
                f"systemctl enable --now {timer_of(group)}",
            )
    if scheduled:
        yield Finding.ok(TIMERS, f"scheduled: {', '.join(scheduled)}")
