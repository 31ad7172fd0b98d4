"""What a backup costs in memory and processor time."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench import bare_pool
from tests.bench.farm import farm
from tests.bench.figures import Part, median
from tests.bench.site import site

LARGE_KB = 20_000
#: Long sessions, so that as many as may be are open at once.
LONG_COMMAND_S = 0.5


def measure(folder: Path, *, quick: bool, runs: int) -> Part:
    devices, concurrency = (40, 20) if quick else (1000, 100)
    part = Part(
        "memory",
        "Memory and processor time",
        "a bare pool of threads over netmiko that writes files",
        f"{devices} devices of 100 KB, {concurrency} sessions at once in one process, one in twenty changed since the "
        f"day before; medians of {runs} runs",
    )
    with (
        farm(folder / "farm") as devices_of,
        site(folder / "site", devices_of, concurrency=concurrency, settings="processes = 1") as running,
    ):
        idle = running.costs()
        part.add("worker, idle", idle["worker-lab"].memory_mb, "MB")
        part.add("consumer, idle", idle["consumer"].memory_mb, "MB")
        running.describe(devices)
        devices_of.set(delay_s=LONG_COMMAND_S)
        busy = running.collect(devices)
        part.add(f"worker with {concurrency} sessions", busy.costs["worker-lab"].peak_mb, "MB", at_most=140)
        part.add("consumer, busy", busy.costs["consumer"].peak_mb, "MB", at_most=100)
        part.add("dispatcher", busy.costs["dispatcher"].peak_mb, "MB")
        ours, bare = [], []
        for day in range(1, runs + 1):
            devices_of.set(day=day)
            bare.append(bare_pool.run(devices_of.port, devices, concurrency, folder / "files"))
            ours.append(running.collect(devices))
        for what, names in (
            ("worker", ("worker-lab",)),
            ("consumer", ("consumer",)),
            ("dispatcher", ("dispatcher",)),
            ("RabbitMQ", ("rabbitmq",)),
            ("Redis", ("redis",)),
        ):
            part.add(f"processor time of the {what}", [run.cpu_ms(*names, devices=devices) for run in ours], "ms")
        part.add(
            "processor time for each backup, in all of our processes",
            [run.cpu_ms("worker-lab", "consumer", "dispatcher", devices=devices) for run in ours],
            "ms",
            other=median([1000 * run.cpu_s / devices for run in bare]),
            at_most=18,
        )
    part.add("Python here: ten million additions", [_additions_s() for _ in range(runs)], "s")
    _measure_large(part, folder, quick=quick)
    return part


def _additions_s() -> float:
    """How fast this machine is at the moment: on one whose processors others use as well, everything takes longer."""
    began = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - began


def _measure_large(part: Part, folder: Path, *, quick: bool) -> None:
    size_kb = LARGE_KB / 10 if quick else LARGE_KB
    with (
        farm(folder / "large-farm", size_kb=size_kb, processes=1) as devices_of,
        site(folder / "large", devices_of, concurrency=1) as running,
    ):
        running.describe(1)
        bare = bare_pool.run(devices_of.port, 1, 1, folder / "files")
        run = running.collect(1)
    what = f"one device of {size_kb / 1000:g} MB"
    part.add(what, run.seconds, "s", other=bare.seconds)
    part.add(f"{what}: worker", run.costs["worker-lab"].peak_mb, "MB")
    part.add(f"{what}: consumer", run.costs["consumer"].peak_mb, "MB")
