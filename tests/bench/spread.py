"""A second worker of one group, and a second consumer, beside one of each; on one computer, they share its cores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from redis import Redis
from sqlalchemy import func, select

from devicevault.demo.processes import Daemon
from devicevault.store import Store, open_store
from devicevault.store.models import DeviceBackupResult
from tests.bench.consumer import consumers_only, fill, is_done
from tests.bench.farm import farm
from tests.bench.figures import Part, median
from tests.bench.site import Site, site
from tests.installation import BIN, GROUP
from tests.servers import postgresql_server, redis_server, wait_until

COMMAND_S: Final = 0.05
PROCESSES: Final = 2
WITHIN_S: Final = 3600


def measure(folder: Path, *, quick: bool, runs: int) -> Part:
    devices, concurrency, results = (60, 10, 200) if quick else (2000, 50, 4000)
    part = Part(
        "spread",
        "Two workers of one group, and two consumers",
        "one of them alone",
        f"{devices} devices of 100 KB, 50 ms a command, {concurrency} sessions at once in each worker of one process; "
        f"{results} results of 100 KB, each of a device of its own; all with PostgreSQL and on one computer; "
        f"medians of {runs} runs in turn",
    )
    (folder / "postgresql").mkdir()
    with postgresql_server(folder / "postgresql") as postgresql:
        with (
            farm(folder / "farm", processes=PROCESSES) as devices_of,
            site(
                folder / "site",
                devices_of,
                concurrency=concurrency,
                database_url=postgresql.create_database("workers"),
                settings="processes = 1\n",
            ) as running,
        ):
            devices_of.set(delay_s=COMMAND_S)
            running.describe(devices)
            running.collect(devices)
            one, two = [], []
            for day in range(runs):
                devices_of.set(delay_s=COMMAND_S, day=2 * day + 1)
                one.append(running.collect(devices))
                with _second_worker(running):
                    devices_of.set(delay_s=COMMAND_S, day=2 * day + 2)
                    two.append(running.collect(devices))
            alone = median([devices / run.seconds for run in one])
            part.add("two workers, daily backup", [devices / run.seconds for run in two], "devices/s", other=alone)
            farm_ms = median([run.cpu_ms("farm", devices=devices) for run in two])
            part.add("the simulated devices alone could serve", PROCESSES * 1000 / farm_ms, "sessions/s")
        (folder / "redis").mkdir()
        rates: dict[int, list[float]] = {1: [], 2: []}
        with redis_server(folder / "redis") as redis:
            for run in range(runs):
                for consumers in (1, 2):
                    url = postgresql.create_database(f"c{run}_{consumers}")
                    rates[consumers].append(
                        _rate(folder / f"consumers{run}-{consumers}", redis.url, url, results, consumers)
                    )
        part.add("two consumers, new text", rates[2], "results/s", other=median(rates[1]))
    return part


@contextmanager
def _second_worker(running: Site) -> Iterator[None]:
    """A worker of the same group on what it takes for another host."""
    renamed = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', "second"]
    command = [*renamed, str(BIN / "devicevault-worker"), GROUP]
    with Daemon("worker-second", command, running.vault.folder, running.vault.environment) as worker:
        worker.wait_until_ready()
        yield


def _rate(folder: Path, redis_url: str, database_url: str, results: int, consumers: int) -> float:
    """Results per second, from when every consumer is ready to the last acknowledgement."""
    stream = Redis.from_url(redis_url)
    fill(stream, results, size_kb=100)
    vault = consumers_only(folder, redis_url, database_url)
    with open_store(database_url, migrate=True) as store, ExitStack() as stack:
        started = [
            stack.enter_context(
                Daemon(
                    f"consumer{number}",
                    [str(BIN / "devicevault-consumer")],
                    folder,
                    {**vault.environment, "DEVICEVAULT_CONSUMER__NAME": f"consumer{number}"},
                )
            )
            for number in range(consumers)
        ]
        for daemon in started:
            daemon.wait_until_ready()
        stored = _stored(store)
        began = time.monotonic()
        wait_until(lambda: is_done(stream), WITHIN_S, or_say=lambda: "the stream is not read to its end")
        seconds = time.monotonic() - began
        assert _stored(store) == results
    return (results - stored) / seconds


def _stored(store: Store) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(DeviceBackupResult)) or 0
