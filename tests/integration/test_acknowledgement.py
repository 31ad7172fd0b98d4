"""A request is acknowledged when its result is in the stream, and not a moment earlier."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import RabbitMQServer, redis_server, wait_until
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

WORKER = ("devicevault-worker", "acknowledging")


def test_a_worker_killed_with_a_result_in_hand_leaves_its_request_to_the_next_one(
    tmp_path: Path, rabbitmq: RabbitMQServer
) -> None:
    """The session is over and Redis away: only the broker knows of the request, so it must still hold it."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        host = WorkerHost(tmp_path, rabbitmq.url, redis.url)
        with host.running(*WORKER) as first:
            request = host.send("r1", group="acknowledging", options={"delay_s": 2})
            host.wait_for_lock("r1")
            redis.kill()
            wait_until(lambda: "holding on" in host.log(), 30, or_say=host.log)
            first.kill()
            first.wait()
        redis.start()
        with host.running(*WORKER) as second:
            (result,) = host.results(1)
            assert stop(second) == 0
    assert (result.task_id, result.status) == (request.task_id, "success")
