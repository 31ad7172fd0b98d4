"""Takes requests from the broker, or leaves them there while something holds the group's worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from celery import bootsteps

from devicevault import names
from devicevault.celery_app import Application
from devicevault.collector.holds import Holds

TICK_S: Final = 0.5


class Follower:
    """Stops and begins to consume each queue as the holds of its group say. For Celery's own loop only."""

    def __init__(self, holds: Callable[[], Holds]) -> None:
        self._holds = holds
        self._groups: dict[str, str] = {}

    def start(self, consumer: Any) -> None:
        """Before Celery begins to consume, at each connection: takes out what is held at that moment.

        A held queue is not among Celery's any more at the next connection, but it stays this worker's.
        """
        queues: Iterable[Any] = consumer.app.amqp.queues.consume_from
        self._groups |= {str(queue): names.group_of(str(queue)) for queue in queues}
        self._holds().watch(tuple(self._groups.values()))
        for queue, group in self._groups.items():
            is_held = bool(self._holds().reason(group))
            if is_held:
                consumer.cancel_task_queue(queue)
            self._holds().consumption(group, stopped=is_held)

    def follow(self, consumer: Any) -> None:
        """While Celery consumes: brings its ``consumer`` to where the holds want it."""
        for queue, group in self._groups.items():
            is_held = bool(self._holds().reason(group))
            is_consuming = consumer.task_consumer.consuming_from(queue)
            if is_held and is_consuming:
                consumer.cancel_task_queue(queue)
            elif not is_held and not is_consuming:
                consumer.add_task_queue(queue)
            self._holds().consumption(group, stopped=is_held)


def install(app: Application, holds: Callable[[], Holds]) -> None:
    """Lets every worker of this application stop and begin again to consume."""
    follower = Follower(holds)

    class Consumption(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **parameters: Any) -> None:
            super().__init__(parent, **parameters)
            self._tick: Any = None

        def start(self, parent: Any) -> None:
            follower.start(parent)
            self._tick = parent.timer.call_repeatedly(TICK_S, follower.follow, (parent,))

        def stop(self, parent: Any) -> None:
            if self._tick is not None:
                self._tick.cancel()
                self._tick = None

        def shutdown(self, parent: Any) -> None:
            self.stop(parent)

    app.steps["consumer"].add(Consumption)
