"""The units of this host: what failed, how it ended, and which group has no timer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from devicevault import systemctl
from devicevault.doctor.finding import Finding
from devicevault.inventory import Inventory
from devicevault.systemctl import Unit, timer_of

UNITS: Final = "units"
TIMERS: Final = "timers"
SYSLOG: Final = "syslog"
SOCKET: Final = "devicevault-syslog.socket"


def look(inventory: Inventory | None) -> Iterator[Finding]:
    """What systemd says of DeviceVault's units; nothing where there is no systemd or no package."""
    if not systemctl.is_running():
        return
    groups = sorted({device.group for device in inventory or () if device.enabled})
    loaded = systemctl.show(["devicevault-*.service"])
    timers = systemctl.show([timer_of(group) for group in groups]) if groups else []
    socket = systemctl.show([SOCKET])
    if loaded is None or timers is None or socket is None:
        yield Finding.unknown(UNITS, "systemctl does not answer")
        return
    yield from judge_units(loaded)
    yield from judge_timers(groups, timers)
    yield from judge_socket(socket)


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


def judge_socket(units: Iterable[Unit]) -> Iterator[Finding]:
    """Whether it is listened for syslog messages where somebody wants that; nobody need."""
    for unit in units:
        state = unit.get("ActiveState")
        if state == "failed":
            yield Finding.fault(
                SYSLOG,
                f"{SOCKET} failed: {unit.get('Result', '?')}; devices that tell of changes are not heard",
                "journalctl -u 'devicevault-syslog.*' tells why: a port that is taken, or the service failed; "
                f"then: systemctl reset-failed 'devicevault-syslog.*'; systemctl restart {SOCKET}",
            )
        elif state == "active":
            yield Finding.ok(SYSLOG, "listening for devices that tell of changes")
