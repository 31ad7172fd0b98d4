"""The main job with real services: dispatch, worker, stream, consumer, rows and history.

In every combination of RabbitMQ and Redis as broker, SQLite and PostgreSQL as store.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

from devicevault.compression import decompress
from devicevault.demo.fleet import Fleet
from devicevault.errors import ExitCode
from devicevault.store import open_store
from devicevault.store.models import Device, DeviceBackupResult, DeviceRevision
from tests.installation import GROUP, Installation
from tests.servers import RabbitMQServer, RedisServer
from tests.simulated import shown, simulated

pytestmark = pytest.mark.services

DEVICES = 50


@pytest.fixture(params=["rabbitmq", "redis"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """A broker: RabbitMQ, or the session's Redis in a database of its own."""
    if request.param == "rabbitmq":
        rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq")
        return rabbitmq.url
    redis: RedisServer = request.getfixturevalue("redis")
    return redis.database_url(0)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty store."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Fifty devices of every platform."""
    with Fleet(simulated(number) for number in range(DEVICES)) as running:
        yield running


@pytest.fixture
def vault(tmp_path: Path, broker_url: str, redis_url: str, database_url: str, fleet: Fleet) -> Installation:
    """DeviceVault, set up for the fleet."""
    installation = Installation(tmp_path / "etc", broker_url, redis_url, database_url)
    installation.write_credentials(
        '[credentials.lab]\nusername = "backup"\npassword = "correct horse"\nenable = "open sesame"\n'
    )
    installation.write_inventory(
        f'[defaults]\ngroup = "{GROUP}"\ncredential = "lab"\n[groups.{GROUP}]\n'
        + "".join(
            f'[devices.{device.name}]\nplatform = "{device.platform}"\n'
            f'address = "{fleet.address}"\nport = {fleet.port(device.name)}\n'
            for device in fleet
        )
    )
    installation.ok("keys", "create")
    return installation


def rows_of(vault: Installation, run_id: str) -> list[DeviceBackupResult]:
    with open_store(vault.database_url) as store, store.reading() as session:
        return list(session.scalars(select(DeviceBackupResult).where(DeviceBackupResult.run_id == run_id)))


def texts(vault: Installation) -> dict[str, list[str]]:
    """Every revision's text, oldest first, by the device's name; what it starts with is left out."""
    kept: defaultdict[str, list[str]] = defaultdict(list)
    query = select(Device.name, DeviceRevision).join(Device, DeviceRevision.device_pk == Device.id)
    query = query.where(DeviceRevision.artifact != "startup")
    with open_store(vault.database_url) as store, store.reading() as session:
        for name, revision in session.execute(query.order_by(DeviceRevision.number)):
            kept[name].append(decompress(revision.config.compressed).decode())
    return dict(kept)


def stream_state(vault: Installation) -> dict[str, Any]:
    """What Redis says of the consumer group, the dead letters and the locks."""
    with Redis.from_url(vault.redis_url, decode_responses=True) as redis:
        groups: Any = redis.xinfo_groups("device:results")
        told = {name: groups[0][name] for name in ("pending", "lag")}
        return {**told, "dead": redis.xlen("device:results:dead"), "locks": redis.keys("lock:*")}


def test_fifty_devices_end_in_one_row_each_and_a_change_is_found(vault: Installation, fleet: Fleet) -> None:
    """Rows, texts, originals and history agree with what the devices hold, byte for byte."""
    with vault.running():
        first = vault.json("collect", "--all", "--wait")
        assert Counter(row["status"] for row in first["results"]) == {"success": DEVICES}, vault.logs
        assert Counter(row.device_name for row in rows_of(vault, first["run_id"])) == {d.name: 1 for d in fleet}
        before = {device.name: [shown(device)] for device in fleet}
        assert texts(vault) == before

        changed, unreachable, cut = fleet["cisco-ios-15"], fleet["vyos-23"], fleet["arista-eos-24"]
        changed.configuration = changed.configuration.replace(" transport input ssh\n", " transport input telnet ssh\n")
        fleet.unplug(unreachable.name)
        cut.fault = "cut"
        ended = vault.run("collect", "--all", "--wait", "--json")
        assert ended.returncode == ExitCode.DEVICES_FAILED, ended.stderr
    second = json.loads(ended.stdout)
    assert second["run_id"] != first["run_id"]
    by_device = {row.device_name: row for row in rows_of(vault, second["run_id"])}
    assert len(by_device) == DEVICES
    assert by_device.pop(unreachable.name).error == "unreachable"
    assert by_device.pop(cut.name).error == "truncated"
    assert {row.status for row in by_device.values()} == {"success"}

    assert texts(vault) == {**before, changed.name: [*before[changed.name], shown(changed)]}
    assert "+ transport input telnet ssh" in vault.ok("diff", changed.name)
    assert vault.ok("show", "linux-9", "--original") == fleet["linux-9"].configuration
    assert fleet.changes == []
    assert stream_state(vault) == {"pending": 0, "lag": 0, "dead": 0, "locks": []}
