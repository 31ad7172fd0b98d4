"""From a hundred devices to ten thousand: does cost grow in a straight line?"""

from __future__ import annotations

from pathlib import Path

from tests.bench.farm import farm
from tests.bench.figures import Part
from tests.bench.site import site

#: For each of five commands; together with what a session waits by itself, five seconds.
COMMAND_S = 0.85
DAEMONS = ("worker-lab", "consumer", "dispatcher")


def measure(folder: Path, *, quick: bool, runs: int) -> Part:
    sizes, concurrency = ((20, 40, 80), 40) if quick else ((100, 1000, 10_000), 200)
    part = Part(
        "scale",
        "Ten thousand devices with sessions of five seconds",
        "the waiting alone: devices × session / sessions at once",
        f"{concurrency} sessions at once, devices of 100 KB, {1000 * COMMAND_S:.0f} ms a command; one run of each size",
    )
    with farm(folder / "farm") as devices_of, site(folder / "site", devices_of, concurrency=concurrency) as running:
        devices_of.set(delay_s=COMMAND_S)
        running.describe(3)
        session_s = running.collect(3).session_s
        part.add("one session", session_s, "s")
        for devices in sizes:
            running.describe(devices)
            run = running.collect(devices)
            limit_s = max(1, devices / concurrency) * session_s
            is_whole = devices == 10_000
            part.add(f"{devices} devices", run.seconds, "s", other=limit_s, at_most=300 if is_whole else 0)
            part.add(f"{devices} devices: our processor time", run.cpu_ms(*DAEMONS, devices=devices), "ms a device")
            for name in DAEMONS:
                part.add(f"{devices} devices: most memory of the {name}", run.costs[name].peak_mb, "MB")
    return part
