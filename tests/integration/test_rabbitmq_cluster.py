"""Three RabbitMQ nodes with quorum queues: one of them is killed, and every request is done all the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devicevault import sending
from devicevault.celery_app import app as celery_app
from devicevault.daemons import broker_watch
from devicevault.messages import CollectRequest
from devicevault.queues import waiting_requests
from tests.clusters import RabbitMQCluster, rabbitmq_cluster
from tests.conftest import started
from tests.servers import wait_until
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

GROUP = "dmz"
QUEUE = f"collector.group.{GROUP}"
#: Requests before and after a node is killed.
EACH = 60


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQCluster]:
    with started(rabbitmq_cluster(tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture
def host(cluster: RabbitMQCluster, redis_url: str, tmp_path: Path) -> WorkerHost:
    return WorkerHost(tmp_path, cluster.url, redis_url, '[queue]\ntype = "quorum"\n')


def send(host: WorkerHost, count: int) -> set[str]:
    """As `collect` does: each request counts once RabbitMQ has confirmed it."""
    requests = [
        CollectRequest(
            task_id=str(uuid.uuid4()),
            device_id=f"n{number}",
            device=f"n{number}",
            platform="noop",
            group=GROUP,
            requested_at=datetime.now(UTC),
            options={"delay_s": 0.3},
        )
        for number in range(count)
    ]
    undelivered = {request.task_id: "not sent" for request in requests}
    with sending.connection_of(host.app, host.settings) as connection:
        sending.connect(connection, host.settings)
        assert sending.declare(host.app, connection, host.settings, [GROUP]) == {}
        sending.send(host.app, connection, requests, host.settings, undelivered)
    assert undelivered == {}
    return {request.task_id for request in requests}


def test_a_node_that_is_killed_takes_no_request_along(host: WorkerHost, cluster: RabbitMQCluster) -> None:
    """It is the one all are connected to, and the one that led the queue."""
    first = cluster.nodes[0]
    sent = send(host, EACH)
    assert waiting_requests(host.settings, [QUEUE]) == {QUEUE: EACH}
    members = first.ctl("list_queues", "name", "members", "--no-table-headers")
    assert all(node.name in members for node in cluster.nodes)
    with host.running("devicevault-worker", GROUP) as worker:
        host.results(EACH // 3)
        first.kill()
        # The first address is dead: whoever asks or sends goes to the next.
        sent |= send(host, EACH)
        celery_app.use(host.settings)
        broker_watch.ask_broker(celery_app)
        results = host.results(2 * EACH, within_s=60)
        assert worker.poll() is None
        wait_until(lambda: waiting_requests(host.settings, [QUEUE]) == {QUEUE: 0}, 30, or_say=host.log)
        assert stop(worker) == 0
    assert {result.task_id for result in results} == sent
    assert {result.status for result in results} == {"success"}
    assert "Traceback" not in host.log()
