"""Two thousand devices through the whole chain, beside a pool of threads that writes files."""

from __future__ import annotations

from pathlib import Path

from tests.bench import bare_pool
from tests.bench.farm import farm
from tests.bench.figures import Part, median
from tests.bench.site import site

COMMAND_S = 0.05
SLOW_COMMAND_S = 0.3
PROCESSES = 2


def measure(folder: Path, *, quick: bool, runs: int) -> Part:
    devices, slow, concurrency = (60, 40, 20) if quick else (2000, 1000, 100)
    part = Part(
        "fleet",
        "A fleet through dispatch, RabbitMQ, one worker, Redis, consumer and SQLite",
        "a bare pool of threads over netmiko that writes files",
        f"{devices} devices of 100 KB, 50 ms a command, five commands each, {concurrency} sessions at once, "
        f"one in twenty changed since the day before; medians of {runs} runs in turn",
    )
    with (
        farm(folder / "farm", processes=PROCESSES) as devices_of,
        site(folder / "site", devices_of, concurrency=concurrency) as running,
    ):
        devices_of.set(delay_s=COMMAND_S)
        running.describe(devices)
        first = running.collect(devices)
        ours, bare = [], []
        for day in range(1, runs + 1):
            devices_of.set(delay_s=COMMAND_S, day=day)
            bare.append(bare_pool.run(devices_of.port, devices, concurrency, folder / "files"))
            ours.append(running.collect(devices))
        part.add("first backup of all", devices / first.seconds, "devices/s")
        part.add(
            "daily backup",
            [devices / run.seconds for run in ours],
            "devices/s",
            other=median([devices / run.seconds for run in bare]),
            ratio_at_least=0.9,
        )
        part.add("one session", [run.session_s for run in ours], "s", other=median([run.session_s for run in bare]))
        farm_ms = median([run.cpu_ms("farm", devices=devices) for run in ours])
        part.add("the simulated devices alone could serve", PROCESSES * 1000 / farm_ms, "sessions/s")

        devices_of.set(delay_s=SLOW_COMMAND_S, day=runs + 1)
        running.describe(3)
        lone_s = running.collect(3).session_s
        running.describe(slow)
        devices_of.set(delay_s=SLOW_COMMAND_S, day=runs + 2)
        slow_s = [running.collect(slow).seconds for _ in range(runs)]
        part.add(
            f"{slow} devices with sessions of {lone_s:.1f} s, beside the waiting alone",
            slow_s,
            "s",
            other=slow * lone_s / concurrency,
            ratio_at_least=0.9,
        )
    return part
