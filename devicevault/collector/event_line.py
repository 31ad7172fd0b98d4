"""The line on which a worker tells Flower of its tasks: one on which nobody waits for an answer.

Celery's pool threads send these events, all on one connection, and Celery's loop reads from that connection as well.
With publisher confirms a thread waits for an answer which the loop has read, and holds a lock that the loop waits for
next: the worker stood still until the broker hung up, after three minutes. An event may get lost; a wait may not.
"""

from __future__ import annotations

from typing import Any, ClassVar

from celery.worker.consumer import Consumer


class EventLineConsumer(Consumer):  # type: ignore[misc]  # Celery is untyped
    """Celery's consumer; it asks for a connection to write by for its events alone."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]  # Celery is untyped
        # With quorum queues Celery would declare 28 queues and exchanges for tasks that are put off. None of ours is,
        # and the account of a remote worker may not.
        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        ]

    def connection_for_write(self, url: str | None = None, heartbeat: int | None = None) -> Any:
        """A connection without confirms, and without heartbeats: the one the tasks come by has them."""
        options = {"confirm_publish": False} if self.app.conf.broker_transport_options.get("confirm_publish") else {}
        return self.ensure_connected(self.app.connection_for_write(url=url, heartbeat=0, transport_options=options))
