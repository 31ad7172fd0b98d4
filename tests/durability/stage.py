"""Everything a campaign needs, running: servers behind gates, small disks, supervised daemons, the vault's files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from devicevault.demo.fleet import Fleet
from devicevault.store import Store, open_store
from tests.durability.devices import ENABLE, PASSWORD
from tests.durability.disk import Disk, small_disk
from tests.durability.gate import Gate
from tests.durability.supervisor import Unit
from tests.installation import BIN, GROUP, Installation
from tests.servers import (
    PostgreSQLServer,
    RabbitMQServer,
    RedisServer,
    postgresql_server,
    rabbitmq_server,
    redis_server,
)

Broker = Literal["rabbitmq", "redis"]
Database = Literal["sqlite", "postgresql"]

#: Hosts with a worker of the same group each, and names of the consumers.
HOSTS: Final = ("east", "west")
CONSUMERS: Final = ("first", "second")

DEADLINE_S: Final = 10
ATTEMPTS: Final = 2
#: Long enough for a session with all its attempts, short enough for a test: what a Redis broker waits for a task.
ACKNOWLEDGED_WITHIN_S: Final = 60


@dataclass(frozen=True)
class Stage:
    """What the nemesis may break, and what the others look at."""

    broker: Broker
    database: Database
    vault: Installation
    fleet: Fleet
    redis: RedisServer
    rabbitmq: RabbitMQServer | None
    postgresql: PostgreSQLServer | None
    broker_gate: Gate
    redis_gate: Gate
    database_gate: Gate | None
    redis_disk: Disk
    database_disk: Disk
    workers: tuple[Unit, ...]
    consumers: tuple[Unit, ...]
    #: The database without the gate in front of it.
    direct_database_url: str

    @property
    def units(self) -> tuple[Unit, ...]:
        return (*self.workers, *self.consumers)

    @property
    def database_file(self) -> Path:
        """SQLite's."""
        return self.database_disk.path / "devicevault.db"

    def open_store(self) -> Store:
        """The database, whatever is done to its port."""
        return open_store(self.direct_database_url, migrate=True)


@contextmanager
def staged(
    folder: Path, fleet: Fleet, *, broker: Broker, database: Database, concurrency: int, wait_s: int, disk_mb: int
) -> Iterator[Stage]:
    """A vault for the fleet, with its daemons ready. Needs root, for the disks and the workers' host names."""
    with ExitStack() as stack:
        redis_disk = stack.enter_context(small_disk(folder / "redis", disk_mb))
        database_disk = stack.enter_context(small_disk(folder / "database", disk_mb))
        redis = stack.enter_context(redis_server(redis_disk.path))
        redis_gate = stack.enter_context(Gate(redis.port))
        rabbitmq = postgresql = database_gate = None
        if broker == "rabbitmq":
            (folder / "rabbitmq").mkdir()
            rabbitmq = stack.enter_context(rabbitmq_server(folder / "rabbitmq", management=False))
            broker_gate = stack.enter_context(Gate(rabbitmq.port))
            broker_url = f"amqp://guest:guest@127.0.0.1:{broker_gate.port}//"
        else:
            broker_gate = stack.enter_context(Gate(redis.port))
            broker_url = f"redis://127.0.0.1:{broker_gate.port}/0"
        if database == "postgresql":
            (folder / "postgresql").mkdir()
            postgresql = stack.enter_context(postgresql_server(folder / "postgresql"))
            direct_url = postgresql.create_database("devicevault")
            database_gate = stack.enter_context(Gate(postgresql.port))
            database_url = direct_url.replace(f":{postgresql.port}/", f":{database_gate.port}/")
        else:
            database_url = direct_url = f"sqlite:///{database_disk.path / 'devicevault.db'}"
        vault = Installation(
            folder / "etc",
            broker_url,
            f"redis://127.0.0.1:{redis_gate.port}/1",
            database_url,
            settings_text=_settings_text(concurrency, wait_s),
            environ={"DEVICEVAULT_CONSUMER__SWEEP_S": "5", "DEVICEVAULT_CONSUMER__CLAIM_IDLE_S": "15"},
        )
        _describe(vault, fleet)
        workers = tuple(stack.enter_context(_worker(vault, host)) for host in HOSTS)
        consumers = tuple(stack.enter_context(_consumer(vault, name)) for name in CONSUMERS)
        for unit in (*workers, *consumers):
            unit.wait_until_ready()
        yield Stage(
            broker=broker,
            database=database,
            vault=vault,
            fleet=fleet,
            redis=redis,
            rabbitmq=rabbitmq,
            postgresql=postgresql,
            broker_gate=broker_gate,
            redis_gate=redis_gate,
            database_gate=database_gate,
            redis_disk=redis_disk,
            database_disk=database_disk,
            workers=workers,
            consumers=consumers,
            direct_database_url=direct_url,
        )


def _settings_text(concurrency: int, wait_s: int) -> str:
    return (
        f"[ssh]\nconnect_timeout_s = 4\ndeadline_s = {DEADLINE_S}\nattempts = {ATTEMPTS}\nmax_artifact_mb = 0.5\n"
        f"[worker]\nconcurrency = {concurrency}\ndrain_s = 3\n"
        f"[queue]\nwait_s = {wait_s}\nredis_visibility_timeout_s = {ACKNOWLEDGED_WITHIN_S}\n"
        f"amqp_consumer_timeout_s = {ACKNOWLEDGED_WITHIN_S}\n"
        '[metrics]\nlisten = ""\n'
    )


def _describe(vault: Installation, fleet: Fleet) -> None:
    vault.write_credentials(f'[credentials.lab]\nusername = "backup"\npassword = "{PASSWORD}"\nenable = "{ENABLE}"\n')
    vault.write_inventory(
        f'[defaults]\ngroup = "{GROUP}"\ncredential = "lab"\n[groups.{GROUP}]\n'
        + "".join(
            f'[devices.{device.name}]\nplatform = "{device.platform}"\n'
            f'address = "{fleet.address}"\nport = {fleet.port(device.name)}\n'
            for device in fleet
        )
    )
    vault.ok("keys", "create")


def _worker(vault: Installation, host: str) -> Unit:
    # On a host of its own, as far as its name goes: two workers of one group on one host would bear the same name.
    command = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host]
    return Unit(f"worker-{host}", [*command, str(BIN / "devicevault-worker"), GROUP], vault.environment, vault.folder)


def _consumer(vault: Installation, name: str) -> Unit:
    environ = {**vault.environment, "DEVICEVAULT_CONSUMER__NAME": name}
    return Unit(f"consumer-{name}", [str(BIN / "devicevault-consumer")], environ, vault.folder)
