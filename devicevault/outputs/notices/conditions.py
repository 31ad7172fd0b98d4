"""From how things stand, and what was told of them, to what is to be told now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from devicevault.errors import HostKeyRefused
from devicevault.heartbeat import SILENT_AFTER_S
from devicevault.messages import Status
from devicevault.outputs.notices.event import Event, Kind
from devicevault.outputs.notices.facts import DeviceFacts, WorkerFacts
from devicevault.settings import NotifySettings

#: A kind and its subject (a ``device_id``, a group, an output's name), to when it was told.
Told = Mapping[tuple[str, str], datetime]

#: Kept with what is told, and no notice: since when the inventory has a device that nobody asked for.
NEVER_ASKED_FOR: Final = "never_asked_for"

_OF_DEVICES: Final = (Kind.HOST_KEY, Kind.FAILING, Kind.STALE, Kind.SUSPECT)
#: An output that failed once may have met a restart of the database.
_OUTPUT_FAILURES: Final = 2


@dataclass
class Transitions:
    """What changed since it was told last."""

    opened: list[tuple[str, str]] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def open(self, kind: Kind, subject: str, event: Event) -> None:
        self.opened.append((kind, subject))
        self.events.append(event)

    def close(self, kind: Kind, subject: str) -> None:
        self.closed.append((kind, subject))


def device_transitions(
    devices: Iterable[DeviceFacts],
    told: Told,
    settings: NotifySettings,
    now: datetime,
    wanted: Collection[str] | None,
    into: Transitions,
) -> None:
    """What is new of devices; ``wanted`` are the ``device_id`` of those that are to be backed up, where it is known."""
    gone = {subject for kind, subject in told if kind in _OF_DEVICES}
    for device in devices:
        gone.discard(device.device_id)
        if device.is_archived if wanted is None else device.device_id not in wanted:
            gone.add(device.device_id)
            continue
        _one_device(device, told, settings, now, into)
    # A device nobody wants any more is neither well nor ill.
    into.closed += [(kind, subject) for kind, subject in told if kind in _OF_DEVICES and subject in gone]


def never_asked_for_transitions(
    wanted: Collection[str], known: Collection[str], told: Told, into: Transitions
) -> dict[str, datetime | None]:
    """The ``wanted`` devices that are not ``known``, with the time since when that was noted."""
    noted = {subject: since for (kind, subject), since in told.items() if kind == NEVER_ASKED_FOR}
    waiting = {device_id: noted.get(device_id) for device_id in wanted if device_id not in known}
    into.opened += [(NEVER_ASKED_FOR, device_id) for device_id, since in waiting.items() if since is None]
    into.closed += [(NEVER_ASKED_FOR, device_id) for device_id in noted if device_id not in waiting]
    return waiting


def _one_device(device: DeviceFacts, told: Told, settings: NotifySettings, now: datetime, into: Transitions) -> None:
    before = {kind: told[kind, device.device_id] for kind in _OF_DEVICES if (kind, device.device_id) in told}
    present = _present(device, before, settings, now)
    for kind in _OF_DEVICES:
        if kind in present and kind not in before:
            into.open(kind, device.device_id, _device_event(kind, device, present[kind], now))
        elif kind in before and kind not in present:
            into.close(kind, device.device_id)
    was_ill = [kind for kind in before if kind is not Kind.SUSPECT]
    if was_ill and not present and device.failures == 0:
        since = min(before[kind] for kind in was_ill)
        into.events.append(_recovered(device, since, now))


def _present(device: DeviceFacts, before: Collection[Kind], settings: NotifySettings, now: datetime) -> dict[Kind, str]:
    """What is wrong with a device, each with its sentence."""
    found: dict[Kind, str] = {}
    if device.is_suspect:
        found[Kind.SUSPECT] = device.message if device.status == Status.SUSPECT else "what it sent last is held back"
    has_refused_key = device.status == Status.FAILURE and device.error == HostKeyRefused.code
    if has_refused_key or (Kind.HOST_KEY in before and device.failures and device.status == Status.QUEUED):
        found[Kind.HOST_KEY] = device.message
    # One trouble, one notice: a key that is refused fails each time.
    if Kind.HOST_KEY not in found and (
        device.failures >= settings.failing_after or (Kind.FAILING in before and device.failures)
    ):
        found[Kind.FAILING] = f"{device.failures} failures in a row; {device.message}".rstrip("; ")
    good_at = device.last_success_at or device.first_seen_at
    is_old = now - good_at > timedelta(seconds=settings.stale_s)
    # To be asked for at last makes a device known, and no backup of it.
    if settings.stale_s and (is_old or (Kind.STALE in before and not device.last_success_at)):
        found[Kind.STALE] = _why_stale(device)
    return found


def _why_stale(device: DeviceFacts) -> str:
    if not device.status:
        return f"it was never asked for; run: devicevault collect {device.name}"
    good_at = device.last_success_at
    last = f"the last good backup is of {good_at:%Y-%m-%d %H:%M} UTC" if good_at else "it has none"
    return f"{last}; see: devicevault history {device.name}"


_TITLES: Final = {
    Kind.SUSPECT: "{} sent a configuration that looks wrong",
    Kind.HOST_KEY: "{} has another host key",
    Kind.FAILING: "{} can't be backed up",
    Kind.STALE: "{} has no young backup",
}


def _device_event(kind: Kind, device: DeviceFacts, text: str, now: datetime) -> Event:
    details = _details(device) | {"status": device.status, "error": device.error, "failures": device.failures}
    return Event(kind, _TITLES[kind].format(device.name), now, device.group, device.name, text, details)


def _recovered(device: DeviceFacts, since: datetime, now: datetime) -> Event:
    text = f"it was told as troubled at {since:%Y-%m-%d %H:%M} UTC"
    title = f"{device.name} is backed up again"
    return Event(Kind.RECOVERED, title, now, device.group, device.name, text, _details(device))


def _details(device: DeviceFacts) -> dict[str, str | None]:
    last = device.last_success_at
    return {
        "device_id": device.device_id,
        "platform": device.platform,
        "last_success_at": last.isoformat() if last else None,
    }


def worker_transitions(
    workers: Iterable[WorkerFacts],
    told: Told,
    settings: NotifySettings,
    now: datetime,
    needed: Collection[str] | None,
    into: Transitions,
) -> None:
    """What is new of workers; ``needed`` are the groups with devices, where these are known.

    A worker is forgotten after a week; that it was told as gone is not.
    """
    kind = Kind.WORKER_GONE
    for worker in workers:
        group, is_told = worker.group, (kind, worker.group) in told
        if needed is not None and group not in needed:
            continue
        if worker.silent_s >= settings.worker_gone_s and not is_told:
            text = (
                f"none was heard of for {worker.silent_s:.0f} s: nothing of the group is collected; see on its host: "
                f"systemctl status devicevault-worker@{group}"
            )
            into.open(kind, group, Event(kind, f"group {group} has no worker", now, group, text=text))
        elif worker.silent_s < SILENT_AFTER_S and is_told:
            into.close(kind, group)
            text = f"it was told as gone at {told[kind, group]:%Y-%m-%d %H:%M} UTC"
            into.events.append(Event(Kind.RECOVERED, f"group {group} has a worker again", now, group, text=text))
    if needed is not None:
        into.closed += [(kind, group) for told_kind, group in told if told_kind == kind and group not in needed]


@dataclass(frozen=True)
class OutputFacts:
    """How an output stands that is switched on."""

    name: str
    failures: int
    error: str


def output_transitions(outputs: Iterable[OutputFacts], told: Told, now: datetime, into: Transitions) -> None:
    """What is new of the mirror and its push."""
    kind = Kind.OUTPUT_FAILING
    known = set()
    for output in outputs:
        known.add(output.name)
        is_told = (kind, output.name) in told
        details = {"output": output.name}
        if output.failures >= _OUTPUT_FAILURES and not is_told:
            title = f"{_OUTPUTS[output.name]} fails"
            into.open(kind, output.name, Event(kind, title, now, text=output.error, details=details))
        elif not output.failures and is_told:
            into.close(kind, output.name)
            title = f"{_OUTPUTS[output.name]} works again"
            into.events.append(Event(Kind.RECOVERED, title, now, details=details))
    into.closed += [(kind, name) for told_kind, name in told if told_kind == kind and name not in known]


_OUTPUTS: Final = {"mirror": "the git mirror", "push": "the push of the git mirror"}
