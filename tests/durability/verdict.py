"""What may not be: each function tells the faults it found in one sentence each; an empty list is a clean bill."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis
from sqlalchemy import select

from devicevault import names
from devicevault.collector.collect import RETRY_S
from devicevault.collector.normalise import normalise
from devicevault.collector.seal import Opener
from devicevault.compression import decompress
from devicevault.demo.fleet import Fleet
from devicevault.messages import Status
from devicevault.platforms import Platforms
from devicevault.store import Store
from devicevault.store.models import (
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    RunAttachment,
    SealedOriginal,
)
from devicevault.stream import unread_results
from tests.durability.asker import Asked
from tests.durability.devices import ENABLE, PASSWORD, RememberingDevice
from tests.durability.nemesis import Kind
from tests.durability.stage import ATTEMPTS, Stage

#: Seconds a worker's clock readings and a device's may lie apart: two threads of a busy machine.
SLACK_S: Final = 2.0
#: Salted anew at each reading: the original does not hold the secret as the device keeps it.
SALTED: Final = "fortinet_fortios"
#: Devices whose own secrets are looked for, besides the login's.
SEARCHED_DEVICES: Final = 24


@dataclass(frozen=True)
class Suffered:
    """A fault that was done (seconds since 1970)."""

    kind: Kind
    began: float
    ended: float
    #: None when it was not recovered from within its bound.
    recovered_s: float | None


@dataclass
class Records:
    """The database's content, as far as it is judged."""

    rows: list[DeviceBackupResult]
    attachments: list[RunAttachment]

    @classmethod
    def of(cls, store: Store) -> Records:
        with store.reading() as session:
            return cls(list(session.scalars(select(DeviceBackupResult))), list(session.scalars(select(RunAttachment))))


def without_their_final_row(records: Records, accepted: Iterable[Asked]) -> list[str]:
    """Each device of each run that was taken ends in exactly one row, and no other row waits for ever."""
    by_id = {row.id: row for row in records.rows}
    found: defaultdict[tuple[str, str], list[DeviceBackupResult]] = defaultdict(list)
    for row in records.rows:
        found[row.run_id or "", row.device_name].append(row)
    for attachment in records.attachments:
        row = by_id[attachment.result_id]
        found[attachment.run_id, row.device_name].append(row)
    wrong = [
        f"{device} of run {asked.run_id[:8]} has {len(found[asked.run_id, device])} rows"
        for asked in accepted
        for device in asked.devices
        if len(found[asked.run_id, device]) != 1
    ]
    waiting = [row for row in records.rows if row.status == Status.QUEUED]
    return wrong + [f"{row.device_name}: task {row.task_id} is queued still" for row in waiting]


def untrue(records: Records, fleet: Fleet) -> list[str]:
    """Each success holds what its device held at the time, whole."""
    wrong: list[str] = []
    for row in records.rows:
        if row.status != Status.SUCCESS:
            continue
        began, ended = session_of(row)
        states = device_of(fleet, row).held_between(began - SLACK_S, ended + SLACK_S)
        whole = {state.digest for state in states if state.shows_all}
        digests = [artifact["digest"] for artifact in row.artifacts]
        if not any(state.is_whole for state in states):
            faults = ", ".join(state.fault for state in states)
            wrong.append(f"{row.device_name}: task {row.task_id} is a success, but the device had: {faults}")
        elif len(digests) != 1 or digests[0] not in whole:
            wrong.append(f"{row.device_name}: task {row.task_id} holds {digests}, its device held {sorted(whole)}")
    return wrong


def wrongly_kept(store: Store, stage: Stage) -> list[str]:
    """Each revision is a text its device once held whole, differs from the one before, and can be restored."""
    opener = Opener.from_settings(stage.vault.settings)
    platforms = Platforms.load(None)
    wrong: list[str] = []
    before: dict[int, tuple[int, str]] = {}
    query = (
        select(Device, DeviceRevision, DeviceConfig, SealedOriginal)
        .join(DeviceRevision, DeviceRevision.device_pk == Device.id)
        .join(DeviceConfig, DeviceConfig.id == DeviceRevision.config_id)
        .outerjoin(SealedOriginal, SealedOriginal.revision_id == DeviceRevision.id)
        .order_by(Device.id, DeviceRevision.number)
    )
    with store.reading() as session:
        for device, revision, config, original in session.execute(query):
            place = f"{device.name} revision {revision.number}"
            watched = stage.fleet[device.name]
            assert isinstance(watched, RememberingDevice)
            digest = _digest(decompress(config.compressed))
            if digest not in {state.digest for state in watched.states if state.shows_all}:
                wrong.append(f"{place}: the device never held this text")
            number, last = before.get(device.id, (0, ""))
            if revision.number != number + 1 or digest == last:
                wrong.append(f"{place}: follows revision {number}, its text is {'the same' * (digest == last)}")
            before[device.id] = (revision.number, digest)
            if original is None:
                wrong.append(f"{place}: has no original")
                continue
            text = opener.open(original.sealed, original.key_id).decode()
            shown = normalise(platforms.get(watched.platform), text).text
            if _digest(shown.encode()) != digest:
                wrong.append(f"{place}: the original is another text")
            if watched.platform != SALTED and not all(secret in text for secret in watched.secrets):
                wrong.append(f"{place}: the original lacks secrets, and would not restore the device")
    return wrong


def visited_too_often(records: Records, fleet: Fleet, suffered: Sequence[Suffered]) -> list[str]:
    """A device is logged into no more often than its rows' attempts say.

    A visit that was under way while a task could be given to a worker again, by a worker's or the broker's end, may
    have been made in vain: it does not count.
    """
    attempts: Counter[str] = Counter()
    for row in records.rows:
        # A request the broker seemed not to have taken may have been worked on; the row tells nothing of it.
        attempts[row.device_name] += row.attempt if row.started_at else ATTEMPTS * (row.error == "internal")
    # Between two attempts a task is in hand as well: its first visit ended a back-off before the fault.
    windows = [(one.began - RETRY_S - SLACK_S, one.ended + SLACK_S) for one in suffered if one.kind.redelivers]
    wrong: list[str] = []
    for device in _devices(fleet):
        counting = [
            visit
            for visit in device.visits
            if not any(visit.began <= end and visit.ended >= start for start, end in windows)
        ]
        if len(counting) > attempts[device.name]:
            times = ", ".join(f"{_clock(visit.began)} to {_clock(visit.ended)}" for visit in counting)
            wrong.append(f"{device.name}: visits from {times}; its rows tell of {attempts[device.name]} attempts")
    return wrong


def not_recovered(suffered: Iterable[Suffered]) -> list[str]:
    return [
        f"{one.kind.name}, at {_clock(one.began)}: not recovered from within {one.kind.bound_s:g} s"
        for one in suffered
        if one.recovered_s is None
    ]


def secrets_seen(stage: Stage) -> list[str]:
    """No secret stands in Redis, in a broker, in the database or in a log."""
    secrets = [PASSWORD, ENABLE]
    for device in _devices(stage.fleet)[:SEARCHED_DEVICES]:
        secrets += device.secrets
    return found_in(_everything_kept(stage), secrets)


def found_in(places: Iterable[tuple[str, bytes]], secrets: Iterable[str]) -> list[str]:
    """Which secret stands in which place."""
    wanted = [secret.encode() for secret in secrets]
    return [
        f"{secret.decode()!r} stands in {place}" for place, content in places for secret in wanted if secret in content
    ]


def _everything_kept(stage: Stage) -> Iterator[tuple[str, bytes]]:
    """The raw bytes of what daemons, brokers and databases leave behind."""
    etc = stage.vault.folder
    folders = [stage.redis_disk.path, stage.database_disk.path]
    if stage.rabbitmq is not None:
        folders.append(stage.rabbitmq.process.log.parent)
    if stage.postgresql is not None:
        folders.append(stage.postgresql.process.log.parent)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    for path in [*files, *etc.glob("*.log")]:
        yield str(path), path.read_bytes()
    with stage.open_store() as store, store.reading() as session:
        for config in session.scalars(select(DeviceConfig)):
            yield f"text {config.digest}", decompress(config.compressed)


def left_behind(stage: Stage) -> list[str]:
    """Nothing waits in the stream, nothing is a dead letter, no lock is held, and no device was changed."""
    with Redis.from_url(stage.redis.url, decode_responses=True) as redis:
        groups: Any = redis.xinfo_groups(names.RESULTS_STREAM)
        told = {
            "unread results": unread_results(redis, names.RESULTS_STREAM),
            "unacknowledged results": groups[0]["pending"],
            "dead letters": redis.xlen(names.RESULTS_STREAM + names.DEAD_LETTER_SUFFIX),
            "changes to devices": len(stage.fleet.changes),
        }
    return [f"{count} {what}" for what, count in told.items() if count]


def ended_by_themselves(stage: Stage) -> list[str]:
    """No daemon ended but where somebody ended it, and each stopped when it was told to."""
    return [f"{exit_.daemon}: {exit_.reason}" for unit in stage.units for exit_ in unit.exits]


def not_collected(records: Records, fleet: Fleet) -> list[str]:
    """Rows of devices that were whole all the time, and were not backed up all the same."""
    found = []
    for row in records.rows:
        ended = row.recorded_at or row.requested_at
        states = device_of(fleet, row).held_between(row.requested_at.timestamp(), ended.timestamp())
        if row.status != Status.SUCCESS and all(state.is_whole for state in states):
            found.append(f"{row.device_name}: {row.status}: {row.error}: {row.error_message}")
    return found


def session_of(row: DeviceBackupResult) -> tuple[float, float]:
    """When a row's session began and ended (seconds since 1970)."""
    began = (row.started_at or row.requested_at).timestamp()
    return began, began + row.collection_duration_ms / 1000


def device_of(fleet: Fleet, row: DeviceBackupResult) -> RememberingDevice:
    device = fleet[row.device_name]
    assert isinstance(device, RememberingDevice)
    return device


def visits(fleet: Fleet) -> int:
    """Sessions all devices saw."""
    return sum(len(device.visits) for device in _devices(fleet))


def _devices(fleet: Fleet) -> list[RememberingDevice]:
    return [device for device in fleet if isinstance(device, RememberingDevice)]


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S.%f}"


def _digest(text: bytes) -> str:
    return "sha256:" + hashlib.sha256(text).hexdigest()
