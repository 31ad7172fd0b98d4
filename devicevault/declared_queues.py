"""How the queues of the collector groups are declared on RabbitMQ, which lets nobody change it afterwards.

A classic queue lies on one node and knows priorities. A quorum queue lies on several nodes of a cluster and outlives
the loss of one; RabbitMQ refuses it ``x-max-priority``.
"""

from __future__ import annotations

from typing import Any, Final

from celery.app.amqp import AMQP, Queues

#: RabbitMQ 4 throws a message away that was given back 20 times, and a worker that is paused gives requests back it did
#: not begin. Who gives a request up are the workers (``worker.max_deliveries``), and they tell. "No limit" is written
#: as -1 there, which RabbitMQ 3 refuses.
DELIVERY_LIMIT: Final = 1_000_000


class QuorumQueues(Queues):  # type: ignore[misc]  # Celery is untyped
    """Celery's queues, each of them a quorum queue."""

    def __setitem__(self, name: str, queue: Any) -> None:
        queue.queue_arguments = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
        super().__setitem__(name, queue)


class DeclaredQueues(AMQP):  # type: ignore[misc]  # Celery is untyped
    """Declares queues of the type that the settings of its application ask for."""

    @property
    def queues_cls(self) -> type[Queues]:
        return QuorumQueues if self.app.settings.queue.type == "quorum" else Queues
