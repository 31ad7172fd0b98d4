"""How long pruning takes, and how long it keeps others waiting: ``python -m tests.bench.retention [--devices N]``.

A backup of every device each day of 400 days, one in ten changed, in SQLite and in PostgreSQL; then what a vault
prunes that never did. Meanwhile somebody writes a row every few milliseconds, as a consumer does, and looks at the
clock. Twice the devices must take twice the time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import insert

from devicevault.compression import compress
from devicevault.settings import RetentionSettings
from devicevault.store import Store, open_run, open_store
from devicevault.store.models import (
    CollectionRun,
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    SealedOriginal,
)
from devicevault.store.retention import prune
from devicevault.store.retention.space import give_back, space_of
from tests.servers import postgresql_server

NOW = datetime(2026, 5, 6, 13, tzinfo=UTC)
DAYS = 400
SHARE = 0.1
TEXT_BYTES = 3000
KEEP = RetentionSettings(
    all_days=30,
    daily_days=60,
    weekly_weeks=26,
    monthly_months=24,
    results_days=90,
    logs_days=30,
    runs_days=90,
    originals_days=180,
)
LOG = [
    {"time": NOW.isoformat(), "severity": "info", "message": f"step {number}: connected, read, left"}
    for number in range(6)
]


def fill(store: Store, devices: int) -> None:
    chance = random.Random(7)
    numbers = dict.fromkeys(range(1, devices + 1), 0)
    with store.session() as session:
        rows = [
            {"id": pk, "device_id": f"id-{pk}", "name": f"sw{pk}", "first_seen_at": NOW, "main_artifact": "running"}
            for pk in numbers
        ]
        session.execute(insert(Device), rows)
    result_id = revision_id = 0
    for day in range(DAYS):
        moment = NOW - timedelta(days=DAYS - day, hours=11)
        results, revisions, configs, originals = [], [], [], []
        for pk in numbers:
            result_id += 1
            is_changed = not day or chance.random() < SHARE
            results.append(_result(result_id, pk, day, moment, is_changed=is_changed))
            if not is_changed:
                continue
            revision_id += 1
            numbers[pk] += 1
            # Random, so that compression leaves it as it is.
            blob = compress(chance.randbytes(TEXT_BYTES))
            configs.append({"id": revision_id, "digest": f"sha256:{revision_id}", "size": 5, "compressed": blob})
            revisions.append(
                {
                    "id": revision_id,
                    "device_pk": pk,
                    "artifact": "running",
                    "number": numbers[pk],
                    "config_id": revision_id,
                    "result_id": result_id,
                    "reason": "changed",
                    "collected_at": moment,
                    "confirmed_at": moment,
                }
            )
            originals.append({"revision_id": revision_id, "key_id": "k", "sealed": blob, "collected_at": moment})
        with store.session() as session:
            run = {"run_id": f"run-{day}", "kind": "scheduled", "requested_at": moment}
            session.execute(insert(CollectionRun), [run])
            session.execute(insert(DeviceBackupResult), results)
            if revisions:
                session.execute(insert(DeviceConfig), configs)
                session.execute(insert(DeviceRevision), revisions)
                session.execute(insert(SealedOriginal), originals)


def _result(pk: int, device_pk: int, day: int, moment: datetime, *, is_changed: bool) -> dict[str, object]:
    return {
        "id": pk,
        "task_id": f"{pk:032x}",
        "run_id": f"run-{day}",
        "task_identifier": f"scheduled:run-{day}:{device_pk}",
        "device_pk": device_pk,
        "device_name": f"sw{device_pk}",
        "status": "success",
        "requested_at": moment,
        "started_at": moment,
        "recorded_at": moment,
        "changed": is_changed,
        "log": LOG,
        "artifacts": [{"name": "running", "digest": "sha256:" + "0" * 64, "revision": 1}],
    }


@contextmanager
def somebody_writing(store: Store) -> Iterator[list[float]]:
    """Seconds that each of many small transactions took meanwhile."""
    took: list[float] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.01):
            begun = time.monotonic()
            with store.session() as session:
                open_run(session, asked_by="bench")
            took.append(time.monotonic() - begun)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield took
    finally:
        ended.set()
        thread.join()


T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, str]:
    """What it gave, and the seconds it took: by the clock, and of this process' CPU."""
    begun, cpu = time.monotonic(), time.process_time()
    done = work()
    return done, f"{time.monotonic() - begun:.1f} s ({time.process_time() - cpu:.1f} s CPU)"


def measure(name: str, url: str, devices: int) -> None:
    with open_store(url, migrate=True) as store:
        fill(store, devices)
        before = space_of(store).bytes
        told, dry_s = timed(lambda: prune(store, KEEP, NOW, dry_run=True))
        with somebody_writing(store) as took:
            done, prune_s = timed(lambda: prune(store, KEEP, NOW))
        _, again_s = timed(lambda: prune(store, KEEP, NOW))
        space = space_of(store)
        _, back_s = timed(lambda: give_back(store, lambda what, done, total: None))
        after = space_of(store).bytes
    assert {**done.counts, "runs": 0} == {**told.counts, "runs": 0}
    waits = sorted(took)
    sys.stdout.write(
        f"{name}, {devices} devices: {before / 1e6:.0f} MB; dry run {dry_s}, prune {prune_s}, "
        f"again {again_s}, vacuum {back_s}; then {after / 1e6:.0f} MB\n"
        f"  gone: {done.counts}, told {done.bytes / 1e6:.0f} MB, free {(space.free or 0) / 1e6:.0f} MB\n"
        f"  {len(waits)} others' transactions: median {waits[len(waits) // 2] * 1e3:.0f} ms, "
        f"longest {waits[-1] * 1e3:.0f} ms\n"
    )
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="*", default=[250, 500, 1000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = stack.enter_context(postgresql_server(Path(folder) / "postgresql"))
        for devices in arguments.devices:
            measure("SQLite", f"sqlite:///{folder}/{devices}.db", devices)
            measure("PostgreSQL", server.create_database(f"devices_{devices}"), devices)


if __name__ == "__main__":
    main()
