"""The consumer as systemd and Prometheus see it: ready, reload, live status, metrics and health."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

import devicevault
from devicevault import heartbeat, names
from devicevault.messages import CollectResult
from devicevault.steering import pause_group
from devicevault.stream import connect_redis, publish
from tests.results import request, result
from tests.servers import RedisServer, accepts, free_port, wait_until
from tests.systemd import Listener, systemd

pytestmark = pytest.mark.services

CONSUMER = Path(sys.executable).with_name("devicevault-consumer")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Vault:
    """A vault's host with a consumer to be started."""

    folder: Path
    redis_url: str
    port: int

    @property
    def broker_url(self) -> str:
        return self.redis_url.removesuffix("/1") + "/0"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def write(self, **replaced: str) -> None:
        values = {
            "broker": self.broker_url,
            "redis": self.redis_url,
            "extra": "",
            **replaced,
        }
        self.config.write_text(
            f'broker_url = "{values["broker"]}"\nredis_url = "{values["redis"]}"\n'
            f'database_url = "sqlite:///{self.folder}/devicevault.db"\n'
            f'[inventory]\npath = "{self.folder}/devices.toml"\n'
            f'[vault]\noriginals = "plain"\n[metrics]\nlisten = "127.0.0.1:{self.port}"\n'
            f"[groups.dmz]\n[consumer]\nblock_ms = 50\n{values['extra']}"
        )

    @contextmanager
    def consumer(self, listener: Listener | None = None) -> Iterator[subprocess.Popen[bytes]]:
        environ = {"NOTIFY_SOCKET": str(listener.path)} if listener else {}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [CONSUMER],
                env={**os.environ, "DEVICEVAULT_CONFIG": str(self.config), **environ},
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def get(self, path: str) -> tuple[int, str]:
        wait_until(lambda: accepts(self.port), 30, or_say=self.log)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Every value by its metric's name and the values of its labels."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                found[(sample.name, *(sample.labels[label] for label in sorted(sample.labels)))] = sample.value
        return found


@pytest.fixture
def vault(tmp_path: Path, redis_url: str) -> Vault:
    (tmp_path / "devices.toml").write_text(
        '[devices.sw1]\nplatform = "noop"\ngroup = "dmz"\naddress = "192.0.2.1"\n'
        '[devices.new]\nplatform = "noop"\ngroup = "dmz"\naddress = "192.0.2.2"\n'
    )
    made = Vault(tmp_path, redis_url, free_port())
    made.write()
    return made


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with systemd(tmp_path) as listening:
        yield listening


def test_metrics_tell_what_was_stored_and_how_things_stand(vault: Vault) -> None:
    now = datetime.now(UTC)
    with connect_redis(vault.redis_url) as redis:
        publish(redis, names.RESULTS_STREAM, just_now("sw1", "success", now))
        publish(redis, names.RESULTS_STREAM, just_now("sw2", "failure", now, error="auth"))
        redis.xadd(names.RESULTS_STREAM + names.DEAD_LETTER_SUFFIX, {"task_id": "lost"})
        pause_group(redis, "branch", by="pat")
        redis_beat(redis)
        with connect_redis(vault.broker_url) as broker:
            broker.lpush("collector.group.dmz", "waiting")
        with vault.consumer() as consumer:
            wait_until(
                lambda: ("devicevault_results_total", "", "dmz", "success") in vault.metrics(), 30, or_say=vault.log
            )
            wait_until(lambda: vault.metrics().get(("devicevault_source_up", "database")) == 1, 30, or_say=vault.log)
            found = vault.metrics()
            assert vault.get("/healthz") == (200, "ok\n")
            assert vault.get("/anything")[0] == 404
            consumer.send_signal(signal.SIGTERM)
            assert consumer.wait(20) == 0
    assert found["devicevault_results_total", "auth", "dmz", "failure"] == 1
    assert found["devicevault_session_seconds_count", "dmz"] == 2
    assert found["devicevault_revisions_total", "dmz", "first"] == 1
    assert found["devicevault_dead_letters",] == 1
    assert found["devicevault_queue_depth", "dmz"] == 1
    assert found["devicevault_group_paused", "branch"] == 1
    assert found["devicevault_worker_info", "dmz", "9.9", "dmz@far"] == 1
    assert found["devicevault_worker_sessions", "dmz", "dmz@far"] == 3
    assert found["devicevault_worker_last_contact_seconds", "dmz", "dmz@far"] < 30
    assert any(key[0] == "devicevault_build_info" and devicevault.__version__ in key for key in found)


def test_only_devices_of_the_inventory_are_watched_and_a_reload_reads_it_anew(vault: Vault, listener: Listener) -> None:
    """sw2 was collected once and is no device any more; the device nobody asked for yet counts as without a backup."""
    now = datetime.now(UTC)
    with connect_redis(vault.redis_url) as redis:
        publish(redis, names.RESULTS_STREAM, just_now("sw1", "success", now))
        publish(redis, names.RESULTS_STREAM, just_now("sw2", "success", now))
    with vault.consumer(listener) as consumer:
        listener.wait_for("2 stored, 0 set aside, lag 0")
        consumer.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in listener.wait_for("RELOADING=1")
        listener.wait_for("READY=1")
        key = ("devicevault_devices_without_backup", "dmz")
        wait_until(lambda: vault.metrics().get(key) == 1, 30, or_say=vault.log)
        found = vault.metrics()
        assert consumer.poll() is None
    assert found["devicevault_devices", "dmz"] == 2
    assert 0 <= found["devicevault_oldest_backup_age_seconds", "dmz"] < 300


def test_a_wrong_file_changes_nothing_and_what_needs_a_restart_is_named(vault: Vault, listener: Listener) -> None:
    with vault.consumer(listener) as consumer:
        listener.wait_for("READY=1")
        vault.write(extra="batch_entries = 0\n")
        consumer.send_signal(signal.SIGHUP)
        assert "not reloaded" in listener.wait_for("READY=1")
        assert "consumer.batch_entries" in vault.log()
        vault.write(redis="redis://127.0.0.1:1/1", extra="batch_entries = 10\n")
        consumer.send_signal(signal.SIGHUP)
        assert "not reloaded" not in listener.wait_for("READY=1")
        assert "redis_url has a new value, which counts after a restart only" in vault.log()
        assert vault.get("/healthz")[0] == 200
    assert "Traceback" not in vault.log()


def test_health_tells_what_the_consumer_waits_for(tmp_path: Path, vault: Vault, listener: Listener) -> None:
    vault.write(redis="redis://127.0.0.1:1/1")
    with vault.consumer(listener):
        listener.wait_for("STATUS=waiting: Redis at 127.0.0.1:1/1")
        code, text = vault.get("/healthz")
        assert (code, "Redis at 127.0.0.1:1/1" in text) == (503, True)
        assert vault.metrics()["devicevault_source_up", "redis"] == 0
    assert not any("READY=1" in told for told in listener.heard)


def test_a_port_that_is_taken_does_not_keep_results_from_being_stored(
    vault: Vault, redis: RedisServer, listener: Listener
) -> None:
    taken = replace(vault, port=redis.port)
    taken.write()
    with connect_redis(vault.redis_url) as client:
        publish(client, names.RESULTS_STREAM, just_now("sw1", "success", datetime.now(UTC)))
    with taken.consumer(listener):
        listener.wait_for("1 stored")
        assert "no metrics are served" in taken.log()


def test_every_metric_that_alerts_and_dashboard_name_exists(vault: Vault) -> None:
    with connect_redis(vault.redis_url) as client, vault.consumer():
        publish(client, names.RESULTS_STREAM, just_now("sw1", "success", datetime.now(UTC)))
        wait_until(lambda: "devicevault_results_total{" in vault.get("/metrics")[1], 30, or_say=vault.log)
        served = vault.get("/metrics")[1]
    known = {name for family in text_string_to_metric_families(served) for name in names_of(family.name, family.type)}
    folder = ROOT / "packaging" / "monitoring"
    for page in ("alerts.yaml", "dashboard.json"):
        named = set(re.findall(r"\bdevicevault_[a-z_]+", (folder / page).read_text()))
        assert named
        assert named <= known, page
    json.loads((folder / "dashboard.json").read_text())


def names_of(family: str, kind: str) -> set[str]:
    if kind == "counter":
        return {f"{family}_total"}
    return {family, f"{family}_bucket", f"{family}_sum", f"{family}_count"} if kind == "histogram" else {family}


def just_now(device: str, status: str, now: datetime, error: str = "") -> CollectResult:
    """A result of group dmz that came just now."""
    texts = ("hostname r1\n",) if status == "success" else ()
    asked = request(device, group="dmz")
    return result(asked, status, *texts, error=error, started_at=now, initiated_at=now)


def redis_beat(redis: Redis) -> None:
    heartbeat.beat(
        redis, "dmz@far", groups=("dmz",), version="9.9", started_at=datetime.now(UTC), in_flight=3, concurrency=8
    )
