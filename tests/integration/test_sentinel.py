"""Redis behind Sentinel: its primary is killed, and no result that counted as published is lost."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import select

from devicevault import names
from devicevault.doctor import State, results
from devicevault.errors import ServiceUnavailable
from devicevault.messages import CollectResult
from devicevault.settings import Settings
from devicevault.store import open_store
from devicevault.store.models import DeviceBackupResult
from devicevault.stream import connect_redis, decode, ensure_group, publish, unavailable
from devicevault.stream.connection import place_of
from devicevault.stream.entry import Entry
from tests.conftest import started
from tests.installation import Installation
from tests.sentinels import PASSWORD, SENTINEL_PASSWORD, WatchedRedis, watched_redis
from tests.servers import RedisServer, wait_until

pytestmark = pytest.mark.services

STREAM = names.RESULTS_STREAM


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedRedis]:
    with started(watched_redis(tmp_path_factory.mktemp("sentinel"))) as watched:
        yield watched


def result(device: str) -> CollectResult:
    now = datetime.now(UTC)
    return CollectResult(
        task_id=str(uuid.uuid4()),
        device_id=device,
        device=device,
        platform="noop",
        group="dmz",
        status="failure",
        error="unreachable",
        initiated_at=now,
        started_at=now,
        worker="dmz@here",
    )


class Publishing(threading.Thread):
    """Publishes one result after the other as a worker does: each again and again until it is taken."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis = connect_redis(url)
        self._ended = threading.Event()
        self.taken: list[str] = []
        self.refusals: list[str] = []

    def run(self) -> None:
        while not self._ended.is_set():
            one = result(f"r{len(self.taken)}")
            while not self._ended.is_set():
                try:
                    publish(self._redis, STREAM, one, done_s=3600)
                except ServiceUnavailable as error:
                    self.refusals.append(str(error))
                    self._ended.wait(0.2)
                else:
                    self.taken.append(one.task_id)
                    break

    def end(self) -> None:
        self._ended.set()
        self.join()
        self._redis.close()


def test_what_counted_as_published_outlives_the_primary(watched: WatchedRedis) -> None:
    with connect_redis(watched.url) as redis:
        ensure_group(redis, STREAM)
        publishing = Publishing(watched.url)
        publishing.start()
        try:
            wait_until(lambda: len(publishing.taken) > 50, 30, or_say=lambda: str(publishing.refusals[-3:]))
            first = watched.primary()
            watched.of(first).kill()
            before = len(publishing.taken)
            wait_until(lambda: len(publishing.taken) > before + 50, 60, or_say=lambda: str(publishing.refusals[-3:]))
        finally:
            publishing.end()
        assert watched.primary() not in (0, first)
        found = {decode(Entry(entry_id, fields)).task_id for entry_id, fields in redis.xrange(STREAM)}
        assert found >= set(publishing.taken)
        assert all(redis.exists(names.DONE_PREFIX + task_id) for task_id in publishing.taken)
    told = " ".join(publishing.refusals)
    assert PASSWORD not in told
    assert SENTINEL_PASSWORD not in told


def test_worker_and_consumer_go_on_with_the_new_primary(
    watched: WatchedRedis, redis: RedisServer, tmp_path: Path
) -> None:
    vault = Installation(
        tmp_path / "vault",
        redis.database_url(0),
        watched.url,
        f"sqlite:///{tmp_path}/vault.db",
        settings_text='[metrics]\nlisten = ""\n',
        environ={"DEVICEVAULT_VAULT__ORIGINALS": "plain"},
    )
    vault.write_inventory(
        '[defaults]\nplatform = "noop"\ngroup = "lab"\n[groups.lab]\n'
        + "".join(f'[devices.n{n}]\naddress = "192.0.2.1"\noptions.delay_s = 0.5\n' for n in range(150))
    )

    def done(run_id: str) -> list[str]:
        with open_store(vault.database_url) as store, store.reading() as session:
            query = select(DeviceBackupResult.status).where(DeviceBackupResult.run_id == run_id)
            return [status for status in session.scalars(query) if status != "queued"]

    with vault.running():
        run_id = vault.json("collect", "--all")["run_id"]
        wait_until(lambda: len(done(run_id)) > 20, 60, or_say=lambda: vault.logs)
        watched.of(watched.primary()).kill()
        wait_until(lambda: len(done(run_id)) == 150, 120, or_say=lambda: vault.logs)
        again = vault.json("collect", "n1", "n2")["run_id"]
        wait_until(lambda: len(done(again)) == 2, 30, or_say=lambda: vault.logs)
        assert set(done(run_id) + done(again)) == {"success"}
        shown = vault.logs + vault.ok("config", "show") + vault.run("doctor").stdout
    assert PASSWORD not in shown
    assert SENTINEL_PASSWORD not in shown
    assert "Traceback" not in vault.logs


def test_without_a_replica_nothing_counts_as_published(watched: WatchedRedis) -> None:
    """The result is not in the stream again and again either, however often it is tried."""
    with connect_redis(watched.url) as redis:
        redis.ping()
        for server in watched.servers:
            if server.port != watched.primary():
                server.kill()
        one = result("r1")
        wait_until(lambda: redis.info("replication")["connected_slaves"] == 0, 20, or_say=lambda: "replicas stay")
        for _ in range(5):
            with pytest.raises(ServiceUnavailable, match="has no 1 replica"):
                publish(redis, STREAM, one, done_s=60)
        assert redis.xlen(STREAM) == 0
        assert not redis.exists(names.DONE_PREFIX + one.task_id)
    with connect_redis(watched.url + "&replicas=0") as lenient:
        # Redis itself takes nothing either, as soon as it has noticed.
        wait_until(lambda: refuses(lenient), 30, or_say=lambda: "it takes results without a replica")


def test_a_result_no_replica_has_leaves_its_task_undone(watched: WatchedRedis) -> None:
    """Or the next worker would acknowledge the request, and a primary that dies would take the result along."""
    sent = result("r1")
    with connect_redis(watched.url) as redis:
        redis.ping()
        primary = watched.primary()
        replicas = [one.process.process for one in watched.servers if one.port != primary if one.process.process]
        for replica in replicas:
            replica.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(ServiceUnavailable, match="has no 1 replica"):
                publish(redis, STREAM, sent, done_s=60)
            assert not redis.exists(names.DONE_PREFIX + sent.task_id)
        finally:
            for replica in replicas:
                replica.send_signal(signal.SIGCONT)
        publish(redis, STREAM, sent, done_s=60)
        assert redis.exists(names.DONE_PREFIX + sent.task_id)


def refuses(redis: Redis) -> bool:
    try:
        publish(redis, STREAM, result("r2"))
    except ServiceUnavailable as error:
        return "takes nothing while no replica follows it" in str(error)
    return False


def test_it_is_told_where_it_is_and_what_is_wrong(watched: WatchedRedis) -> None:
    with connect_redis(watched.url) as redis:
        redis.ping()
        assert (
            place_of(redis)
            == "vault/1 (Sentinel at " + ", ".join(f"127.0.0.1:{one.port}" for one in watched.sentinels) + ")"
        )
    found = list(results.look(Settings(redis_url=watched.url)))
    assert [one for one in found if one.check == "Redis replicas" and one.state is State.OK]
    with connect_redis(watched.url.replace("master=vault", "master=other")) as redis:
        with pytest.raises(ServiceUnavailable, match="no sentinel tells of a primary") as refused, unavailable(redis):
            redis.ping()
        assert "SENTINEL master other" in str(refused.value)
    wrong = watched.url.replace(SENTINEL_PASSWORD, "wrong")
    with connect_redis(wrong) as redis, pytest.raises(ServiceUnavailable) as refused, unavailable(redis):
        redis.ping()
    assert "wrong" not in str(refused.value)
