"""How long things take to start, and how fast requests leave."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from devicevault.celery_app import Application
from devicevault.demo.processes import Daemon
from devicevault.dispatch import Run, build_request, dispatch, queue_rows
from devicevault.inventory import load_inventory
from devicevault.sending import connection_of
from devicevault.settings import Settings
from devicevault.store import open_store
from tests.bench.commands import took
from tests.bench.farm import PLATFORM, Farm
from tests.bench.figures import Part
from tests.bench.site import Site, site
from tests.installation import BIN

#: Each takes a fraction of a second.
COMMAND_RUNS: Final = 9


def measure(folder: Path, *, quick: bool, runs: int) -> Part:
    devices = 200 if quick else 10_000
    part = Part(
        "start",
        "Starting, and sending requests",
        "Python's own start; kombu alone, sending the same messages without rows",
        f"medians of {COMMAND_RUNS} runs of each command, of {runs} runs of everything else; {devices} requests",
    )
    # Nobody is collected here: there are no devices behind the port, and no worker that looks for them.
    with site(folder / "site", Farm(folder, 9, []), concurrency=32, daemons=False) as running:
        environ = running.vault.environment
        running.describe(devices)
        with open_store(running.vault.database_url, migrate=True) as store:
            # The vault knows each device: a request of it waits.
            settings = running.vault.settings
            queue_rows(load_inventory(settings, {PLATFORM}, None), settings=settings, store=store, asked_by="bench")
        bare = took([sys.executable, "-c", "pass"], dict(os.environ), COMMAND_RUNS)
        for command in (["--version"], ["status"], ["history", "--help"]):
            of_ours = took([BIN / "devicevault", *command], environ, COMMAND_RUNS)
            what = f"devicevault {' '.join(command)}"
            part.add(what, of_ours.seconds, "s", other=bare.seconds)
            part.add(f"{what}: processor time", of_ours.cpu_s, "s", other=bare.cpu_s)
        _measure_dispatch(part, running, devices, runs)
        for name, program in (("worker", ["devicevault-worker", "other"]), ("consumer", ["devicevault-consumer"])):
            part.add(f"{name}, from its start to READY", [_ready_s(running, program) for _ in range(runs)], "s")
    return part


def _ready_s(running: Site, program: list[str]) -> float:
    began = time.monotonic()
    command = [str(BIN / program[0]), *program[1:]]
    with Daemon("other", command, running.vault.folder, running.vault.environment) as daemon:
        daemon.wait_until_ready()
        return time.monotonic() - began


def _measure_dispatch(part: Part, running: Site, devices: int, runs: int) -> None:
    """Each time for other devices: one that waits already costs more, since its row is found and changed."""
    settings = running.vault.settings
    app = Application("bench")
    app.use(settings)
    running.describe(devices * (runs + 1))
    # Those at the beginning are known already.
    inventory = list(load_inventory(settings, {PLATFORM}, None))[devices:]
    ours, cpu, bare = [], [], []
    with open_store(settings.database_url) as store:
        for start in range(0, devices * runs, devices):
            some = inventory[start : start + devices]
            bare.append(devices / _bare_s(app, settings, some))
            began, cpu_began = time.monotonic(), time.process_time()
            dispatch(some, settings=settings, store=store, app=app, asked_by="bench")
            ours.append(devices / (time.monotonic() - began))
            cpu.append(1e6 * (time.process_time() - cpu_began) / devices)
    part.add("dispatch", ours, "requests/s", other=sorted(bare)[runs // 2], at_least=2000)
    part.add("dispatch: processor time for each request", cpu, "µs")


def _bare_s(app: Application, settings: Settings, devices: list[Any]) -> float:
    """Seconds kombu takes for as many messages of the same content, confirmed one by one."""
    run = Run("run", "bench", "manual", datetime.now(UTC))
    requests = [build_request(device, run, settings) for device in devices]
    with connection_of(app, settings) as connection:
        channel: Any = connection.channel()
        channel.queue_declare("bench", durable=True, auto_delete=False)
        producer: Any = app.amqp.Producer(connection, auto_declare=False)
        began = time.monotonic()
        for request in requests:
            producer.publish(request.to_wire(), routing_key="bench", serializer="json", delivery_mode=2)
        took_s = time.monotonic() - began
        channel.queue_delete("bench")
    return took_s
