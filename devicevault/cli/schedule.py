"""``devicevault schedule``: the clock of each collector group, and how its last run went."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from devicevault import systemctl
from devicevault.cli import examples, pass_settings
from devicevault.cli.clock import to_the_minute
from devicevault.cli.console import console, print_json, print_table, say, table
from devicevault.errors import ExitCode, NoDatabaseYet, UsageError
from devicevault.nearest import did_you_mean
from devicevault.systemctl import Unit, timer_of

if TYPE_CHECKING:
    from rich.text import Text

    from devicevault.settings import Settings
    from devicevault.store.runs import RunSummary

ANY_TIMER: Final = timer_of("*")
TIMER: Final = (
    "Id",
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "TimersCalendar",
    "RandomizedDelayUSec",
    "Persistent",
    "NextElapseUSecRealtime",
    "LastTriggerUSec",
)
SERVICE: Final = ("Id", "ActiveState", "Result", "ExecMainStatus")
_CALENDAR: Final = re.compile(r"OnCalendar=(.+?) ; next_elapse=")

#: What ended a run that did not end well, by the exit code of its unit.
ENDINGS: Final[Mapping[str, str]] = {
    str(ExitCode.NOTHING_COLLECTED): "no device at all was backed up",
    str(ExitCode.UNAVAILABLE): "broker or database is away, asking again every minute",
    str(ExitCode.USAGE): "the group has no enabled device",
    str(ExitCode.CONFIGURATION): "settings or inventory are wrong",
}


@dataclass(frozen=True)
class Clock:
    """A group's timer and its last run, as systemd tells."""

    timer: str
    #: Whether it is started at boot, and whether it ticks now.
    enabled: bool
    active: bool
    calendar: tuple[str, ...]
    #: By how much a run may be later than the calendar says, as systemd writes it.
    delay: str
    #: Whether a run that was missed is made up for, once.
    catches_up: bool
    next_run: datetime | None
    last_run: datetime | None
    #: How the last run ended; empty where none did since the host was booted.
    ended: str

    @classmethod
    def of(cls, timer: Unit, service: Unit) -> Clock:
        return cls(
            timer=timer.get("Id", ""),
            enabled=timer.get("UnitFileState", "") in ("enabled", "enabled-runtime"),
            active=timer.get("ActiveState") == "active",
            calendar=tuple(_CALENDAR.findall(timer.get("TimersCalendar", ""))),
            delay=timer.get("RandomizedDelayUSec", ""),
            catches_up=timer.get("Persistent") == "yes",
            next_run=systemctl.moment(timer.get("NextElapseUSecRealtime", "")),
            last_run=systemctl.moment(timer.get("LastTriggerUSec", "")),
            ended=ending(service),
        )


@dataclass(frozen=True)
class Scheduled:
    """One collector group."""

    group: str
    #: Enabled devices in it.
    devices: int
    #: ``None`` where systemd can't be asked, or does not know DeviceVault.
    clock: Clock | None
    #: The newest scheduled run with a device of this group, and how these fared.
    run: RunSummary | None

    @property
    def advice(self) -> str:
        """What to do where group and clock do not fit; empty where they do."""
        if self.clock is None:
            return ""
        if self.devices and not self.clock.active:
            return f"group {self.group} has no clock; give it one: systemctl enable --now {self.clock.timer}"
        if self.devices and not self.clock.enabled:
            return (
                f"the clock of group {self.group} ends at the next boot; keep it: systemctl enable {self.clock.timer}"
            )
        if not self.devices and (self.clock.active or self.clock.enabled):
            return f"group {self.group} has no enabled device; its clock: systemctl disable --now {self.clock.timer}"
        return ""


def ending(service: Unit) -> str:
    """How the last run of a collecting unit ended, in words."""
    result, code = service.get("Result", ""), service.get("ExecMainStatus", "")
    if service.get("ActiveState") == "activating":
        return ENDINGS[code] if result == "exit-code" and code in ENDINGS else "running"
    if result in ("", "success"):
        return ""
    return ENDINGS.get(code, f"{result}, exit code {code}") if result == "exit-code" else result


@click.command(epilog=examples("devicevault schedule", "devicevault schedule --group dmz --json"))
@click.option("--group", "-g", "groups", metavar="GROUP", multiple=True, help="Only this collector group.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def schedule(settings: Settings, groups: tuple[str, ...], as_json: bool) -> None:
    """Which collector groups are collected by the clock, when next, and how the last time ended.

    The clock of GROUP is devicevault-collect@GROUP.timer of this host; a group without one is collected only when
    somebody asks. A run that was missed while the host was down is made up for once.
    """
    devices = _devices(settings)
    clocks = _clocks(sorted(devices))
    for group in clocks or ():
        devices.setdefault(group, 0)
    runs = _runs(settings, devices)
    found = [Scheduled(group, devices[group], (clocks or {}).get(group), runs.get(group)) for group in sorted(devices)]
    if unknown := [group for group in groups if group not in devices]:
        fix = did_you_mean(unknown[0], devices) or "see: devicevault schedule"
        raise UsageError(f"there is no group {unknown[0]!r} in the inventory or the settings", fix)
    found = [one for one in found if not groups or one.group in groups]
    if as_json:
        print_json([{**asdict(one), "advice": one.advice} for one in found])
        return
    _print(found, has_clocks=clocks is not None)


def _devices(settings: Settings) -> Counter[str]:
    """How many enabled devices each group has; the settings' groups are there even without any."""
    from devicevault.inventory import load_inventory
    from devicevault.platforms import Platforms

    inventory = load_inventory(settings, Platforms.load(settings.platforms_dir).names(), None)
    devices = Counter(dict.fromkeys((*settings.groups, *inventory.groups()), 0))
    devices.update(device.group for device in inventory if device.enabled)
    return devices


def _clocks(groups: Iterable[str]) -> dict[str, Clock] | None:
    """The clock of each of these groups, and those of groups that are no more; ``None`` where there is no systemd."""
    if not systemctl.is_running():
        return None
    timers = systemctl.show([ANY_TIMER, *map(timer_of, groups)], TIMER)
    services = systemctl.show(["devicevault-collect@*.service"], SERVICE)
    if timers is None or services is None:
        return None
    by_name = {service.get("Id", ""): service for service in services}
    clocks: dict[str, Clock] = {}
    for timer in timers:
        if timer.get("LoadState") == "loaded":
            name = timer.get("Id", "").removesuffix(".timer")
            clocks[name.partition("@")[2]] = Clock.of(timer, by_name.get(f"{name}.service", {}))
    return clocks or None


def _runs(settings: Settings, groups: Iterable[str]) -> dict[str, RunSummary]:
    from devicevault.store import open_store
    from devicevault.store.runs import newest_by_group

    try:
        with open_store(settings.database_url) as store, store.reading() as session:
            return newest_by_group(session, set(groups), kind="scheduled")
    except NoDatabaseYet:
        return {}


def _print(found: list[Scheduled], *, has_clocks: bool) -> None:
    if not found:
        console().print("there is no collector group yet: the inventory has no device; see: devicevault devices list")
        return
    grid = table("Group", "Devices", "Clock", "When", "Next run", "Last run", "How it went")
    for column in grid.columns[:-1]:
        column.no_wrap = True
    for one in found:
        clock = one.clock
        grid.add_row(
            one.group,
            str(one.devices),
            _state(clock),
            _when(clock),
            to_the_minute(clock.next_run) if clock and clock.next_run else "",
            _last(one),
            _how(one),
        )
    print_table(grid)
    if not has_clocks:
        say(
            console(),
            "no systemd with DeviceVault's units answers here, so that no clock is known; "
            "let whatever does it run: devicevault collect --scheduled --group GROUP",
        )
    for one in found:
        if one.advice:
            say(console(), one.advice)


def _state(clock: Clock | None) -> Text:
    from rich.text import Text

    if clock is None:
        return Text("unknown", style="dim")
    return Text("on", style="green") if clock.active else Text("off", style="bold yellow")


def _when(clock: Clock | None) -> str:
    if clock is None or not clock.calendar:
        return ""
    delay = f" + {clock.delay}" if clock.delay not in ("", "0") else ""
    return ", ".join(clock.calendar) + delay


def _last(one: Scheduled) -> str:
    """When it last ran: by the clock, or, where the clock knows nothing, by the rows."""
    times = [one.clock.last_run if one.clock else None, one.run.requested_at if one.run else None]
    known = [moment for moment in times if moment is not None]
    return to_the_minute(max(known)) if known else "never"


def _how(one: Scheduled) -> str:
    """How the unit ended where that was not well, and how its devices fared."""
    statuses = one.run.statuses if one.run else {}
    fared = ", ".join(f"{statuses[status]} {status}" for status in sorted(statuses, key=lambda word: -statuses[word]))
    return "; ".join(filter(None, (one.clock.ended if one.clock else "", fared)))
