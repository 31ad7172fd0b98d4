"""How fast results become rows, beside the database's own insertion of the same rows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from redis import Redis
from sqlalchemy import Executable, Select, bindparam, func, insert, select, update

from devicevault.messages import Artifact, CollectResult, digest_of
from devicevault.store import Store, open_store
from devicevault.store.models import (
    CollectionRun,
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    SealedOriginal,
)
from devicevault.store.rows import chunks, table_of
from devicevault.stream.entry import encode
from tests.bench.cost import cost_of
from tests.bench.figures import Part, median
from tests.bench.texts import running_config
from tests.consuming import STREAM
from tests.installation import Installation
from tests.servers import postgresql_server, redis_server, wait_until

#: As many bytes as 100 KB are once compressed and sealed.
ORIGINAL: Final = bytes(range(256)) * 60
WITHIN_S: Final = 3600
LOOK_S: Final = 0.002
TABLES: Final = (CollectionRun, Device, DeviceConfig, DeviceBackupResult, DeviceRevision, SealedOriginal)
#: Statements, each with the question that finds its rows.
Writes = list[tuple[Executable, Select[Any]]]
#: Rows in one transaction of the database alone: three times as many as in a batch of ours.
AT_ONCE: Final = 500


@dataclass(frozen=True)
class Reading:
    """How a stream was read to its end."""

    #: Results per second.
    rate: float
    #: The consumer's processor time for each result.
    cpu_ms: float
    peak_mb: float


def measure(folder: Path, *, quick: bool, runs: int) -> Part:
    results, behind, light = (100, 300, 10) if quick else (20_000, 100_000, 100)
    part = Part(
        "consumer",
        "Results per second into the database",
        "the database alone, writing the same rows: of new texts all of them; of unchanged ones those of the results, "
        "and what changes in those of devices and revisions",
        f"{results} results of 100 KB that wait, each of a device of its own; medians of {runs} runs",
    )
    for name in ("redis", "postgresql"):
        (folder / name).mkdir()
    with redis_server(folder / "redis") as redis, postgresql_server(folder / "postgresql") as postgresql:
        stream = Redis.from_url(redis.url)
        for database in ("SQLite", "PostgreSQL"):
            ways: dict[str, list[Reading]] = {"new text": [], "unchanged": []}
            alone: dict[str, list[float]] = {"new text": [], "unchanged": []}
            for run in range(runs):
                place = folder / f"{database}-{run}"
                url, copy_url = (
                    (f"sqlite:///{folder}/{run}.db", f"sqlite:///{folder}/{run}-copy.db")
                    if database == "SQLite"
                    else (postgresql.create_database(f"b{run}"), postgresql.create_database(f"c{run}"))
                )
                for way, writes in (("new text", _inserting()), ("unchanged", _updating(results))):
                    fill(stream, results, size_kb=100)
                    ways[way].append(_read(place, redis.url, url, stream, results))
                    alone[way].append(results / _alone_s(url, copy_url, writes))
            for way, read in ways.items():
                part.add(f"{database}, {way}", [one.rate for one in read], "results/s",
                         other=median(alone[way]), ratio_at_least=0.5)  # fmt: skip
                part.add("the consumer's processor time for each", [one.cpu_ms for one in read], "ms")
        url = f"sqlite:///{folder}/light.db"
        part.add("from XADD to the commit, under light load", _latencies_ms(folder, redis.url, url, light), "ms",
                 at_most=100)  # fmt: skip
        fill(stream, behind, size_kb=5, devices=min(behind, 10_000))
        read_all = _read(folder / "behind", redis.url, f"sqlite:///{folder}/behind.db", stream, behind)
        part.add(f"catching up with {behind} entries of 5 KB", read_all.rate, "results/s")
        part.add("the consumer's processor time for each", read_all.cpu_ms, "ms")
        peaks = [one.peak_mb for one in (*ways["new text"], *ways["unchanged"], read_all)]
        part.add("the consumer's memory, at the most", max(peaks), "MB", at_most=100)
    return part


def _result(number: int, text: str) -> CollectResult:
    now = datetime.now(UTC)
    artifact = Artifact.of(text, original_digest=f"plain:{digest_of(text.encode())}", original=ORIGINAL, key_id="plain")
    return CollectResult(
        task_id=uuid.uuid4().hex,
        device_id=f"r{number}",
        device=f"r{number}",
        platform="cisco_ios",
        group="lab",
        status="success",
        initiated_at=now,
        started_at=now,
        worker="worker@here",
        artifacts=(artifact,),
    )


def fill(stream: Redis, results: int, *, size_kb: float, devices: int = 0) -> None:
    stream.flushdb()
    for number in range(results):
        of = number % (devices or results)
        fields: Any = dict(encode(_result(of, running_config(f"r{of}", size_kb))))
        stream.xadd(STREAM, fields)


def consumers_only(folder: Path, redis_url: str, database_url: str) -> Installation:
    """A vault that is sent nothing by a broker, and opens no originals."""
    return Installation(
        folder,
        "amqp://nobody.invalid//",
        redis_url,
        database_url,
        settings_text='[metrics]\nlisten = ""\n',
        environ={"DEVICEVAULT_VAULT__ORIGINALS": "plain"},
    )


@contextmanager
def _consuming(folder: Path, redis_url: str, database_url: str) -> Iterator[tuple[Store, int]]:
    """The database, and the consumer's process."""
    vault = consumers_only(folder, redis_url, database_url)
    # Who makes the tables needs memory for it, once in a database's life.
    vault.ok("db", "upgrade")
    with vault.running(groups=()), open_store(database_url) as store:
        yield store, vault.daemons["consumer"].pid


def _read(folder: Path, redis_url: str, database_url: str, stream: Redis, results: int) -> Reading:
    """From the consumer's being ready to the last acknowledgement."""
    with _consuming(folder, redis_url, database_url) as (_, consumer):
        before, began = cost_of(consumer), time.monotonic()
        wait_until(lambda: is_done(stream), WITHIN_S, or_say=lambda: "the stream is not read to its end")
        seconds, cost = time.monotonic() - began, cost_of(consumer)
        return Reading(results / seconds, 1000 * (cost - before).cpu_s / results, cost.peak_mb)


def is_done(stream: Redis) -> bool:
    group: Any = stream.xinfo_groups(STREAM)[0]
    return bool(group["pending"] == 0 and group["lag"] == 0)


def _latencies_ms(folder: Path, redis_url: str, database_url: str, count: int) -> list[float]:
    stream = Redis.from_url(redis_url)
    stream.flushdb()
    found = []
    with _consuming(folder / "light", redis_url, database_url) as (store, _):
        for number in range(count):
            result = _result(number, running_config(f"r{number}", 100))
            fields: Any = dict(encode(result))
            began = time.monotonic()
            stream.xadd(STREAM, fields)
            while not _is_stored(store, result.task_id):
                time.sleep(LOOK_S)
            found.append(1000 * (time.monotonic() - began))
    return found


def _is_stored(store: Store, task_id: str) -> bool:
    with store.reading() as session:
        query = select(func.count()).where(DeviceBackupResult.task_id == task_id)
        return bool(session.scalar(query))


def _inserting() -> Writes:
    """All that new texts leave behind."""
    return [(insert(table), select(table)) for table in map(table_of, TABLES)]


def _updating(results: int) -> Writes:
    """What so many unchanged results write."""
    rows, devices, revisions = map(table_of, (DeviceBackupResult, Device, DeviceRevision))
    return [
        (insert(rows), select(rows).order_by(rows.c.id.desc()).limit(results)),
        (
            update(devices).where(devices.c.id == bindparam("of")),
            select(devices.c.id.label("of"), devices.c.latest_result_id, devices.c.last_success_id),
        ),
        (
            update(revisions).where(revisions.c.id == bindparam("of")),
            select(revisions.c.id.label("of"), revisions.c.confirmed_at),
        ),
    ]


def _alone_s(url: str, copy_url: str, writes: Writes) -> float:
    """Seconds the database alone takes to write into a copy what the questions find in the first."""
    with open_store(url) as store, store.reading() as session:
        found = [(write, [dict(row) for row in session.execute(ask).mappings()]) for write, ask in writes]
    with open_store(copy_url, migrate=True) as copy:
        began = time.monotonic()
        for write, rows in found:
            for some in chunks(rows, AT_ONCE):
                with copy.engine.begin() as connection:
                    connection.execute(write, some)
        return time.monotonic() - began
