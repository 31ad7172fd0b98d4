"""What is not safe, told alike by ``status --stale`` and by the metrics; it outlives every restart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from devicevault.cli import main
from devicevault.messages import CollectResult
from devicevault.outputs.metrics import Metrics
from devicevault.outputs.sampler import Sampler
from devicevault.settings import Settings
from devicevault.stream import publish, unread_results
from tests.consuming import STREAM, process, running, wait_for_no_pending
from tests.results import request, result
from tests.servers import wait_until

pytestmark = pytest.mark.services

GROUP = "dmz"
HOUR_S = 3600.0


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def settings(redis_url: str, database_url: str, tmp_path: Path) -> Settings:
    inventory = tmp_path / "devices.toml"
    names = ("fresh", "old", "failing", "never")
    inventory.write_text(
        f"[groups.{GROUP}]\n"
        + "".join(
            f'[devices.{name}]\nid = "id-of-{name}"\naddress = "192.0.2.1"\nplatform = "noop"\ngroup = "{GROUP}"\n'
            for name in names
        )
    )
    return Settings.model_validate(
        {
            "redis_url": redis_url,
            "database_url": database_url,
            "inventory": {"path": str(inventory)},
            "vault": {"originals": "plain"},
        }
    )


def collected(device: str, status: str, hours_ago: float) -> CollectResult:
    moment = datetime.now(UTC) - timedelta(hours=hours_ago)
    asked = request(device, device_id=f"id-of-{device}", group=GROUP, requested_at=moment)
    texts = (f"hostname {device}\n",) if status == "success" else ()
    error = "timeout" if status == "failure" else ""
    return result(asked, status, *texts, error=error, started_at=moment, initiated_at=moment)


Ask = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def status(settings: Settings) -> Ask:
    """``devicevault status --json``, by the device's name; checks its exit code."""
    environ = {
        "DEVICEVAULT_CONFIG": None,
        "DEVICEVAULT_DATABASE_URL": settings.database_url,
        "DEVICEVAULT_INVENTORY__PATH": str(settings.inventory.path),
    }

    def ask(*options: str, exit_code: int = 0) -> dict[str, dict[str, Any]]:
        done = CliRunner().invoke(main, ["status", "--json", *options], env=environ, catch_exceptions=False)
        assert done.exit_code == exit_code, done.output
        return {row["device"]: row for row in json.loads(done.stdout)}

    return ask


def sampled(settings: Settings) -> dict[str, float]:
    """The group's gauges, as Prometheus is served them."""
    metrics = Metrics()
    assert Sampler(metrics, settings).sample("database")
    return {
        family.name: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("group") == GROUP
    }


def test_what_is_not_safe_is_told_and_counted_through_every_restart(
    client: Redis, settings: Settings, status: Ask, redis_url: str, database_url: str
) -> None:
    for one in (
        collected("fresh", "success", 2),
        collected("old", "success", 30),
        collected("failing", "success", 28),
        collected("failing", "failure", 4),
    ):
        publish(client, STREAM, one)
    with process(redis_url, database_url) as daemon:
        everything_is_stored(client)
        daemon.kill()
        daemon.wait()
    publish(client, STREAM, collected("failing", "failure", 3))
    with running(client, database_url):
        everything_is_stored(client)
    stale = status("--stale", "26h", exit_code=1)
    assert stale.keys() == {"old", "failing", "never"}
    assert [stale[name]["failures"] for name in ("old", "failing", "never")] == [0, 2, 0]
    assert status("--stale", "26h", "fresh") == {}
    assert status("--stale", "29h", exit_code=1).keys() == {"old", "never"}

    gauges = sampled(settings)
    assert gauges["devicevault_devices"] == 4
    assert gauges["devicevault_devices_without_backup"] == 1
    assert math.isclose(gauges["devicevault_oldest_backup_age_seconds"], 30 * HOUR_S, abs_tol=HOUR_S / 2)

    publish(client, STREAM, collected("failing", "failure", 2))
    publish(client, STREAM, collected("old", "success", 1))
    with running(client, database_url):
        everything_is_stored(client)
    stale = status("--stale", "26h", exit_code=1)
    assert {name: row["failures"] for name, row in stale.items()} == {"failing": 3, "never": 0}
    oldest_s = sampled(settings)["devicevault_oldest_backup_age_seconds"]
    assert math.isclose(oldest_s, 28 * HOUR_S, abs_tol=HOUR_S / 2)

    publish(client, STREAM, collected("failing", "success", 0.5))
    with running(client, database_url):
        everything_is_stored(client)
    assert status("--stale", "26h", exit_code=1).keys() == {"never"}
    assert status("failing")["failing"]["failures"] == 0


def everything_is_stored(client: Redis) -> None:
    """Everything there is in the stream is stored."""
    wait_until(lambda: unread_results(client, STREAM) == 0, 30, or_say=lambda: "results are left unread")
    wait_for_no_pending(client)
