"""A database that holds a year: every device backed up each day, one in twenty changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, insert

from devicevault.compression import compress
from devicevault.messages import digest_of
from devicevault.store import Store
from devicevault.store.models import Base, CollectionRun, Device, DeviceBackupResult, DeviceConfig, DeviceRevision
from tests.bench.farm import name_of
from tests.bench.texts import running_config

LAST_DAY: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
#: A device changes every so many days.
PERIOD: Final = 20
GROUPS: Final = 10


def write_year(store: Store, devices: int, days: int, size_kb: float) -> int:
    """Fill an empty database; returns the bytes of all texts together."""
    total = 0
    with store.engine.begin() as connection:
        _insert(connection, Device, [_device(number, days, devices) for number in range(devices)])
    latest: dict[int, int] = {}
    configs = 0
    for day in range(days):
        moment = LAST_DAY - timedelta(days=days - 1 - day)
        changed = [number for number in range(devices) if day == 0 or (number + day) % PERIOD == 0]
        texts = [running_config(name_of(n), size_kb, version=(n + day) // PERIOD).encode() for n in changed]
        total += sum(map(len, texts))
        ids = range(configs + 1, configs + 1 + len(texts))
        configs += len(texts)
        latest.update(zip(changed, ids, strict=True))
        with store.engine.begin() as connection:
            run = {"run_id": f"run-{day}", "kind": "scheduled", "requested_at": moment, "device_count": devices}
            _insert(connection, CollectionRun, [run])
            _insert(connection, DeviceConfig, [_config(i, text) for i, text in zip(ids, texts, strict=True)])
            found = set(changed)
            rows = (_result(number, day, devices, moment, changed=number in found) for number in range(devices))
            for some in _chunks(rows):
                _insert(connection, DeviceBackupResult, some)
            revisions = [
                _revision(number, day, devices, days, moment, config)
                for number, config in zip(changed, ids, strict=True)
            ]
            _insert(connection, DeviceRevision, revisions)
    return total


def text_of(number: int, days: int, size_kb: float) -> str:
    """What a device holds on the last day."""
    return running_config(name_of(number), size_kb, version=(number + days - 1) // PERIOD)


def _insert(connection: Connection, model: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(model), rows)


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == 2000:
            yield some
            some = []
    yield some


def _device(number: int, days: int, devices: int) -> dict[str, Any]:
    newest = (days - 1) * devices + number + 1
    return {
        "id": number + 1,
        "device_id": name_of(number),
        "name": name_of(number),
        "platform": "cisco_ios",
        "group": f"group-{number % GROUPS}",
        "first_seen_at": LAST_DAY - timedelta(days=days - 1),
        "latest_result_id": newest,
        "last_success_id": newest,
    }


def _config(number: int, text: bytes) -> dict[str, Any]:
    return {
        "id": number,
        "digest": digest_of(text),
        "size": len(text),
        "compressed": compress(text),
    }


def _result(number: int, day: int, devices: int, moment: datetime, *, changed: bool) -> dict[str, Any]:
    """A row as a worker's success leaves it."""
    return {
        "id": day * devices + number + 1,
        "task_id": f"{day:08d}-0000-4000-8000-{number:012d}",
        "run_id": f"run-{day}",
        "task_identifier": "scheduled:timer",
        "device_pk": number + 1,
        "device_name": name_of(number),
        "platform": "cisco_ios",
        "group": f"group-{number % GROUPS}",
        "status": "success",
        "log": [
            {"time": moment.isoformat(), "severity": "info", "message": message}
            for message in (
                f"Logged in to 10.0.0.1 port 22 as 'backup' with credential 'lab'; {name_of(number)}",
                "Read running: 20231 bytes in 2.1 s, whole: ends with 'end'",
            )
        ],
        "attempt": 1,
        "requested_at": moment,
        "started_at": moment,
        "recorded_at": moment,
        "collection_duration_ms": 2100,
        "worker": "worker@east",
        "worker_version": "0.1.0",
        "rules_digest": "0123456789abcdef",
        "completeness": "ends with 'end'",
        "changed": changed,
        "artifacts": [{"name": "running", "media_type": "text/plain", "size": 20231, "revision": 1}],
    }


def _revision(number: int, day: int, devices: int, days: int, moment: datetime, config: int) -> dict[str, Any]:
    first = -number % PERIOD  # the day of its first change
    changes = 0 if day == 0 else (day - first) // PERIOD + (first > 0)
    next_change = day + 1 + (-(number + day + 1) % PERIOD)
    return {
        "device_pk": number + 1,
        "artifact": "running",
        "number": 1 + changes,
        "config_id": config,
        "result_id": day * devices + number + 1,
        "reason": "first" if day == 0 else "changed",
        "added": 1,
        "removed": 1,
        "collected_at": moment,
        "confirmed_at": moment + timedelta(days=min(next_change, days) - 1 - day),
    }
