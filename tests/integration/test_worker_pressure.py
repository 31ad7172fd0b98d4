"""Workers while Redis is full, or nobody stores results: what is in hand is kept, and nothing new is begun."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from devicevault import names
from devicevault.demo.fleet import Fleet, SimulatedDevice
from tests.integration.test_worker_faults import WORKER, log_says, made, to_device
from tests.servers import RabbitMQServer, redis_server, wait_until
from tests.workers import stop

pytestmark = pytest.mark.services


def test_a_full_redis_keeps_the_result_in_the_worker_and_the_device_in_peace(
    tmp_path: Path, rabbitmq: RabbitMQServer
) -> None:
    """OOM: the result is kept and put into the stream when there is room; nothing else is begun meanwhile."""
    (tmp_path / "redis").mkdir()
    devices = [SimulatedDevice("r1", delay_s=1), SimulatedDevice("r2")]
    with redis_server(tmp_path / "redis") as redis, Fleet(devices) as fleet:
        host = made(tmp_path, rabbitmq.url, redis.url)
        with host.running(*WORKER) as worker:
            host.send("r1", **to_device(fleet, "r1"))
            wait_until(lambda: devices[0].readings == 1, 30, or_say=host.log)
            host.redis.config_set("maxmemory", "1mb")
            log_says(host, "is full")
            log_says(host, "nothing new is begun")
            host.send("r2", **to_device(fleet, "r2"))
            with pytest.raises(AssertionError):
                host.results(1, within_s=3)
            assert [device.logins for device in devices] == [1, 0]
            host.redis.config_set("maxmemory", "0")
            results = host.results(2, within_s=40)
            assert stop(worker) == 0
    assert Counter(result.status for result in results) == {"success": 2}
    assert [device.logins for device in devices] == [1, 1]


def test_a_full_redis_broker_is_told_in_words_and_its_requests_are_done_once_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        host = made(tmp_path, redis.database_url(0), redis.url)
        with host.running(*WORKER) as worker:
            requests = [host.send(f"n{number}", options={"delay_s": 1}) for number in range(12)]
            host.results(1)
            host.redis.config_set("maxmemory", "1mb")
            log_says(host, "is full")
            host.redis.config_set("maxmemory", "0")
            results = host.results(12, within_s=60)
            assert stop(worker) == 0
    assert {result.task_id for result in results} == {request.task_id for request in requests}
    assert Counter(result.status for result in results) == {"success": 12}
    assert "Traceback" not in host.log()


def test_a_worker_waits_while_nobody_stores_results(tmp_path: Path, rabbitmq: RabbitMQServer, redis_url: str) -> None:
    """Back-pressure: at the limit no more requests are taken; once results are read, they are."""
    host = made(tmp_path, rabbitmq.url, redis_url, "max_unread_results = 10\n")
    with host.running(*WORKER) as worker:
        for number in range(200):
            host.send(f"n{number}", options={"delay_s": 0.5})
        log_says(host, "results wait to be stored", 60)
        wait_until(lambda: host.waiting() > 100, 30, or_say=host.log)
        before = len(host.results(1))
        with pytest.raises(AssertionError):
            host.results(before + 9, within_s=4)
        # As if a consumer had read them.
        host.redis.xgroup_setid(names.RESULTS_STREAM, names.CONSUMER_GROUP, "$")
        host.results(before + 9)
        log_says(host, "goes on")
        assert stop(worker) == 0
