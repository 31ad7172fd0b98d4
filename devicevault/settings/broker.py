"""Whether the broker can keep queues of the type that is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from devicevault.errors import Fault
from devicevault.settings.schema import Settings
from devicevault.settings.sources import DEFAULT, Key, Origin

TYPE: Key = ("queue", "type")
URL: Key = ("broker_url",)


def faults(settings: Settings, origins: Mapping[Key, Origin], wrong: Collection[Key] = ()) -> list[Fault]:
    """A fault where Redis, which has no types of queues, is asked for one; none where a value is ``wrong`` already."""
    if settings.queue.type == "classic" or settings.has_amqp_broker or TYPE in wrong or URL in wrong:
        return []
    problem = f"is {settings.queue.type}, and the broker is Redis, whose lists have no type"
    return [origins.get(TYPE, DEFAULT).fault(TYPE, problem, "leave it out, or let broker_url name RabbitMQ")]
