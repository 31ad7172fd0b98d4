"""Several RabbitMQ nodes that are one broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import RabbitMQServer, epmd, rabbitmq_node


@dataclass(frozen=True)
class RabbitMQCluster:
    """The nodes; ``url`` names them all."""

    nodes: list[RabbitMQServer]

    @property
    def url(self) -> str:
        return ";".join(node.url for node in self.nodes)


@contextmanager
def rabbitmq_cluster(folder: Path, nodes: int = 3) -> Iterator[RabbitMQCluster]:
    """A cluster whose every file lies in ``folder``. The first node is the one the others join."""
    with ExitStack() as stack:
        epmd_port = stack.enter_context(epmd(folder))
        started: list[RabbitMQServer] = []
        for number in range(nodes):
            place = folder / f"node{number}"
            place.mkdir()
            settings = "cluster_partition_handling = pause_minority\n"
            if started:
                settings += f"cluster_formation.classic_config.nodes.1 = {started[0].name}\n"
            node = rabbitmq_node(place, epmd_port, settings=settings, home=folder)
            stack.callback(node.stop)
            node.start()
            started.append(node)
        yield RabbitMQCluster(started)
