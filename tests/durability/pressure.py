"""More results than Redis has room for, and nobody who stores them: ``python -m tests.durability.pressure``.

A Redis with a ``maxmemory``, no consumer, and a fleet whose configurations do not fit: the workers have to stop
by themselves, and once the consumer is back every device has to end as a success after one login, with its own text.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from redis import Redis
from sqlalchemy import func, select

from devicevault import names
from devicevault.compression import decompress
from devicevault.demo.configurations import configuration_for
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.demo.processes import Daemon
from devicevault.messages import Status
from devicevault.store import open_store
from devicevault.store.models import Device, DeviceBackupResult, DeviceRevision
from tests.installation import BIN, GROUP, Installation
from tests.servers import rabbitmq_server, redis_server, wait_until

Broker = Literal["rabbitmq", "redis"]

PLATFORM: Final = "cisco_ios"
#: Random bytes in each interface's description: the text is then compressed to a third, and not to a thirtieth.
NOISE_BYTES: Final = 24
#: What each interface's description adds to the text, and how long an interface is without it.
GROWTH: Final = 1.35
#: Seconds for which nothing moves when the workers have stopped, and within how many it comes to that.
STANDS_STILL_S: Final = 4.0
STILL_WITHIN_S: Final = 120.0


@dataclass
class Outcome:
    """What came of it."""

    devices: int
    text_bytes: int
    #: When the workers had stopped: results in the stream, devices logged into, and the share of Redis' memory in use.
    results_waiting: int = 0
    visited: int = 0
    memory_share: float = 0.0
    #: Redis' peak, as a share of ``maxmemory``.
    peak_share: float = 0.0
    held_after_s: float = 0.0
    stored_after_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    logins: int = 0
    #: Devices whose stored text is not their own.
    wrong_texts: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.statuses == {"success": self.devices} and self.logins == self.devices and not self.wrong_texts

    def table(self) -> str:
        """Markdown, for the documentation."""
        statuses = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        rows = {
            "devices, and their configurations' size": f"{self.devices}, {self.text_bytes / 1000:.0f} KB",
            "the workers took nothing more after": f"{self.held_after_s:.0f} s",
            "devices logged into by then": self.visited,
            "results waiting in the stream by then": self.results_waiting,
            "Redis' memory in use by then, at the most": f"{self.memory_share:.0%}, {self.peak_share:.0%}",
            "all stored, after the consumer came back": f"{self.stored_after_s:.0f} s",
            "rows": statuses,
            "logins the devices saw": self.logins,
            "texts that are not their device's": len(self.wrong_texts),
        }
        return "\n".join(["| | |", "|---|--:|", *(f"| {what} | {value} |" for what, value in rows.items())])


def noisy_device(number: int, size_kb: float) -> SimulatedDevice:
    """A device whose configuration hardly repeats itself, as if every interface had a description of its own."""
    name = f"sw{number}"
    chance = random.Random(number)
    text = configuration_for(PLATFORM, name, size_kb=size_kb / GROWTH, seed=number)
    noisy = re.sub(r"(?m)^ description .*$", lambda _: f" description {chance.randbytes(NOISE_BYTES).hex()}", text)
    return SimulatedDevice(name, PLATFORM, noisy)


def run(
    folder: Path, *, broker: Broker, devices: int, size_kb: float, redis_mb: float, concurrency: int = 32
) -> Outcome:
    """Do it all."""
    fleet = Fleet(noisy_device(number, size_kb) for number in range(devices))
    (folder / "redis").mkdir()
    with contextlib.ExitStack() as stack:
        stack.enter_context(fleet)
        redis = stack.enter_context(redis_server(folder / "redis"))
        broker_url = redis.database_url(0)
        if broker == "rabbitmq":
            (folder / "rabbitmq").mkdir()
            broker_url = stack.enter_context(rabbitmq_server(folder / "rabbitmq", management=False)).url
        client = stack.enter_context(Redis.from_url(redis.url))
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", int(redis_mb * 1024 * 1024))
        settings_text = f"[worker]\nconcurrency = {concurrency}\n"
        database_url = f"sqlite:///{folder}/devicevault.db"
        vault = Installation(folder / "etc", broker_url, redis.url, database_url, settings_text)
        _describe(vault, fleet)
        outcome = Outcome(devices, round(sum(len(device.configuration) for device in fleet) / devices))
        with vault.running(consumer=False):
            _fill(vault, fleet, client, outcome)
            consumer = Daemon("consumer", [str(BIN / "devicevault-consumer")], vault.folder, vault.environment)
            vault.daemons["consumer"] = stack.enter_context(consumer)
            began = time.monotonic()
            wait_until(
                lambda: _queued(vault) == 0, 60 + devices / 2, or_say=lambda: f"{_queued(vault)} wait\n{vault.logs}"
            )
            outcome.stored_after_s = time.monotonic() - began
        memory: Any = client.info("memory")
        outcome.peak_share = memory["used_memory_peak"] / memory["maxmemory"]
        _judge(vault, fleet, outcome)
    return outcome


def _describe(vault: Installation, fleet: Fleet) -> None:
    vault.write_credentials('[credentials.lab]\nusername = "backup"\npassword = "correct horse"\n')
    vault.write_inventory(
        f'[defaults]\ngroup = "{GROUP}"\ncredential = "lab"\nplatform = "{PLATFORM}"\n[groups.{GROUP}]\n'
        + "".join(
            f'[devices.{one.name}]\naddress = "{fleet.address}"\nport = {fleet.port(one.name)}\n' for one in fleet
        )
    )
    vault.ok("keys", "create")


def _fill(vault: Installation, fleet: Fleet, client: Redis, outcome: Outcome) -> None:
    """Ask for every device, and wait until the workers have stopped by themselves and nothing moves any more."""
    began = time.monotonic()
    vault.ok("collect", "--all")
    log = vault.daemons[f"worker-{GROUP}"].log
    wait_until(lambda: "nothing new is begun" in log.read_text(), 60 + outcome.devices / 5, or_say=lambda: vault.logs)
    outcome.held_after_s = time.monotonic() - began
    outcome.visited = _where_it_stands_still(fleet)
    memory: Any = client.info("memory")
    outcome.memory_share = memory["used_memory"] / memory["maxmemory"]
    outcome.results_waiting = int(client.xlen(names.RESULTS_STREAM))
    assert outcome.visited < outcome.devices, "it all fitted: nothing is proven"


def _where_it_stands_still(fleet: Fleet) -> int:
    """Devices logged into, once no other was for a while: what was begun before the workers stopped goes on."""
    deadline = time.monotonic() + STILL_WITHIN_S
    visited, since = -1, time.monotonic()
    while time.monotonic() - since < STANDS_STILL_S:
        assert time.monotonic() < deadline, "the workers went on"
        time.sleep(0.1)
        before, visited = visited, sum(device.logins for device in fleet)
        if visited != before or any(device.sessions for device in fleet):
            since = time.monotonic()
    return visited


def _queued(vault: Installation) -> int:
    with open_store(vault.database_url) as store, store.reading() as session:
        query = select(func.count()).where(DeviceBackupResult.status == Status.QUEUED)
        return session.scalar(query) or 0


def _judge(vault: Installation, fleet: Fleet, outcome: Outcome) -> None:
    outcome.logins = sum(device.logins for device in fleet)
    with open_store(vault.database_url) as store, store.reading() as session:
        outcome.statuses = Counter(session.scalars(select(DeviceBackupResult.status)))
        query = select(Device.name, DeviceRevision).join(Device, DeviceRevision.device_pk == Device.id)
        for name, revision in session.execute(query):
            text = decompress(revision.config.compressed).decode()
            if _descriptions(text) != _descriptions(fleet[name].configuration):
                outcome.wrong_texts.append(name)


def _descriptions(text: str) -> list[str]:
    """What no two devices have in common."""
    return re.findall(r"(?m)^ description (\w+)$", text)


def main() -> int:
    """Runs it at full size and prints its table; 1 when something was lost, done twice or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.durability.pressure", description=main.__doc__)
    parser.add_argument("--broker", choices=("rabbitmq", "redis"), default="rabbitmq")
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--size-kb", type=float, default=100)
    parser.add_argument("--redis-mb", type=float, default=256)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="devicevault-pressure-") as folder:
        outcome = run(
            Path(folder),
            broker=asked.broker,
            devices=asked.devices,
            size_kb=asked.size_kb,
            redis_mb=asked.redis_mb,
        )
    print(outcome.table())  # noqa: T201
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
