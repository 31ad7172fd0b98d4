"""DeviceVault with real servers, set up for the farm: what the measurements run against."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from devicevault.messages import Status
from devicevault.store import Store, open_store
from devicevault.store.models import DeviceBackupResult
from tests.bench.cost import Cost, cost_of
from tests.bench.farm import PASSWORD, PLATFORM, USERNAME, Farm, address_of, name_of
from tests.installation import BIN, GROUP, Installation
from tests.servers import RabbitMQServer, RedisServer, rabbitmq_server, redis_server

LOOK_S: Final = 0.1
DEADLINE_S: Final = 120


@dataclass(frozen=True)
class Run:
    """One run over all devices: from the command's start to the last row."""

    run_id: str
    seconds: float
    #: What each process spent meanwhile, by its name.
    costs: dict[str, Cost]
    #: Median length of its sessions.
    session_s: float

    def cpu_ms(self, *names: str, devices: int) -> float:
        """Milliseconds of processor time for each device in these processes together."""
        return 1000 * sum(self.costs[name].cpu_s for name in names) / devices


@dataclass(frozen=True)
class Site:
    """Everything running."""

    vault: Installation
    farm: Farm
    redis: RedisServer
    rabbitmq: RabbitMQServer

    def describe(self, devices: int) -> None:
        """Put that many devices into the inventory."""
        self.vault.write_inventory(
            f'[defaults]\ngroup = "{GROUP}"\ncredential = "lab"\nplatform = "{PLATFORM}"\nport = {self.farm.port}\n'
            f"[groups.{GROUP}]\n"
            + "".join(f'[devices.{name_of(n)}]\naddress = "{address_of(n)}"\n' for n in range(devices))
        )

    def costs(self) -> dict[str, Cost]:
        """Of every process that runs, so far."""
        daemons = {name: cost_of(daemon.pid) for name, daemon in self.vault.daemons.items()}
        servers = {"rabbitmq": self.rabbitmq.process, "redis": self.redis.process}
        brokers = {name: cost_of(one.process.pid) for name, one in servers.items() if one.process}
        return {**daemons, **brokers, "farm": self.farm.cost()}

    def store(self) -> Store:
        return open_store(self.vault.database_url)

    def collect(self, devices: int, within_s: float = 3600) -> Run:
        """Back all devices up. Raises AssertionError when one of them has no success in the end."""
        before = self.costs()
        began = time.monotonic()
        dispatching = subprocess.Popen(
            [BIN / "devicevault", "collect", "--all", "--json"],
            env=self.vault.environment,
            stdout=subprocess.PIPE,
        )
        assert dispatching.stdout is not None
        # It answers when all is sent. What the kernel tells once it has ended is the most its parent ever needed, too.
        answer = dispatching.stdout.read(1)
        peak_mb = cost_of(dispatching.pid).peak_mb
        answer += dispatching.stdout.read()
        code, cpu_s = _waited_for(dispatching)
        assert code == 0, f"the requests were not sent: {answer.decode()}"
        run_id: str = json.loads(answer)["run_id"]
        with self.store() as store:
            while not self._is_done(store, run_id, devices):
                assert time.monotonic() < began + within_s, f"not done within {within_s} s{self.vault.logs}"
                time.sleep(LOOK_S)
            seconds = time.monotonic() - began
            session_s = _session_s(store, run_id)
        costs = {name: cost - before[name] for name, cost in self.costs().items()}
        return Run(run_id, seconds, {**costs, "dispatcher": Cost(cpu_s, peak_mb=peak_mb)}, session_s)

    def _is_done(self, store: Store, run_id: str, devices: int) -> bool:
        query = select(DeviceBackupResult.status, func.count()).where(DeviceBackupResult.run_id == run_id)
        with store.reading() as session:
            counts = dict(session.execute(query.group_by(DeviceBackupResult.status)).all())
        failed = {status: count for status, count in counts.items() if status not in (Status.QUEUED, Status.SUCCESS)}
        assert not failed, f"{failed}{self.vault.logs}"
        return counts.get(Status.SUCCESS, 0) == devices


@contextmanager
def site(
    folder: Path, farm: Farm, *, concurrency: int, database_url: str = "", settings: str = "", daemons: bool = True
) -> Iterator[Site]:
    """The servers, and ``daemons`` where wanted, ready; ``settings`` is more of ``[worker]``."""
    with ExitStack() as stack:
        for name in ("redis", "rabbitmq"):
            (folder / name).mkdir(parents=True)
        redis = stack.enter_context(redis_server(folder / "redis"))
        rabbitmq = stack.enter_context(rabbitmq_server(folder / "rabbitmq", management=False))
        vault = Installation(
            folder / "etc",
            rabbitmq.url,
            redis.url,
            database_url or f"sqlite:///{folder / 'devicevault.db'}",
            # A bench may run in a container, where nobody else collects.
            settings_text=(
                f'[ssh]\ndeadline_s = {DEADLINE_S}\n[metrics]\nlisten = ""\n'
                f'[worker]\nown_processor = "always"\nconcurrency = {concurrency}\n{settings}'
            ),
            # As the worker's unit has it; here every daemon gets it.
            environ={"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"},
        )
        vault.write_credentials(f'[credentials.lab]\nusername = "{USERNAME}"\npassword = "{PASSWORD}"\n')
        vault.ok("keys", "create")
        vault.ok("db", "upgrade")
        if daemons:
            stack.enter_context(vault.running())
        yield Site(vault, farm, redis, rabbitmq)


def _session_s(store: Store, run_id: str) -> float:
    query = select(DeviceBackupResult.collection_duration_ms).where(DeviceBackupResult.run_id == run_id)
    with store.reading() as session:
        durations = sorted(session.scalars(query))
    return durations[len(durations) // 2] / 1000


def _waited_for(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """The process ended: its exit code, and the processor time it took."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime
