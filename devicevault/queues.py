"""The broker's queues seen from outside: how a connection is made, and how many requests wait."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

from kombu.connection import Connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from devicevault import names
from devicevault.errors import ServiceUnavailable
from devicevault.settings import Settings, mask_passwords
from devicevault.settings.urls import BROKER_SOCKET_SCHEME, REDIS_SOCKET_SCHEME
from devicevault.tls import broker_tls, without_tls_options

#: Seconds between two looks of a Redis broker's consumer at the tasks of workers that died.
REDIS_RESTORE_INTERVAL_S: Final = 5
BROKER_TIMEOUT_S: Final = 10
ASK_TIMEOUT_S: Final = 5
#: RabbitMQ says it as a number, kombu's Redis as text.
NOT_FOUND: Final = "404"


def transport_options(settings: Settings) -> dict[str, Any]:
    """What the broker's transport needs to lose nothing."""
    if settings.has_amqp_broker:
        return {"confirm_publish": True}
    return {
        "visibility_timeout": settings.queue.redis_visibility_timeout_s,
        "priority_steps": list(range(names.QUEUE_MAX_PRIORITY + 1)),
        "socket_timeout": 3 * BROKER_TIMEOUT_S,
        "socket_connect_timeout": BROKER_TIMEOUT_S,
        "socket_keepalive": True,
        "unacked_restore_interval": REDIS_RESTORE_INTERVAL_S,
        "unacked_restore_throttle": 1,
    }


def reach(connection: Any, settings: Settings, timeout_s: float) -> None:
    """Connect to the first of the broker's addresses that answers, each of which is given ``timeout_s``.

    Raises whatever the last one does.
    """
    addresses = address_count(settings)
    connection.ensure_connection(max_retries=max(1, addresses - 1), interval_start=0.1, timeout=timeout_s * addresses)


def address_count(settings: Settings) -> int:
    """How many addresses the broker has: nodes of a cluster, which are tried in turn."""
    return settings.broker_url.count(";") + 1


def waiting_requests(settings: Settings, queues: Collection[str]) -> dict[str, int]:
    """How many requests wait in each queue for a worker; 0 in one that is not there yet.

    Raises :class:`ServiceUnavailable` when the broker can't be asked.
    """
    options = transport_options(settings)
    if not settings.has_amqp_broker:
        options["socket_timeout"] = options["socket_connect_timeout"] = ASK_TIMEOUT_S
    connection: Any = Connection(  # type: ignore[no-untyped-call]
        without_tls_options(settings.broker_url),
        ssl=broker_tls(settings) or False,
        connect_timeout=ASK_TIMEOUT_S,
        transport_options=options,
    )
    try:
        reach(connection, settings, ASK_TIMEOUT_S)
        return {queue: _waiting(connection, queue) for queue in queues}
    except (OSError, KombuError, RedisError, *connection.connection_errors, *connection.channel_errors) as error:
        reason = " ".join(mask_passwords(str(error)).split()) or type(error).__name__
        raise ServiceUnavailable(
            f"the broker at {mask_passwords(settings.broker_url)} does not answer: {reason}",
            "see that it runs and that broker_url names it",
        ) from None
    finally:
        with suppress(OSError, *connection.connection_errors):
            connection.release()


def _waiting(connection: Any, queue: str) -> int:
    # A broker closes the channel on which it was asked for a queue it does not have.
    channel = connection.channel()
    try:
        waiting = int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors as error:
        if str(getattr(error, "reply_code", "")) != NOT_FOUND:
            raise
        return 0
    channel.close()
    return waiting


def redis_urls(broker_url: str) -> list[str]:
    """Where a Redis broker is, as redis-py writes it."""
    return [
        part.replace(f"{BROKER_SOCKET_SCHEME}:", f"{REDIS_SOCKET_SCHEME}:", 1).replace("virtual_host=", "db=")
        for part in broker_url.split(";")
    ]
