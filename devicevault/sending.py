"""Requests on their way into the broker: the connection, the queues, and the messages, a few at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from devicevault import names, refusal
from devicevault.celery_app import message_options
from devicevault.confirmations import Confirmations
from devicevault.errors import ServiceUnavailable
from devicevault.messages import CollectRequest
from devicevault.queues import address_count, reach
from devicevault.settings import Settings, mask_passwords

if TYPE_CHECKING:
    from celery import Celery
    from kombu.connection import Connection
    from kombu.messaging import Producer

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
#: RabbitMQ without disk or memory to spare confirms nothing and refuses nothing: it just stays silent.
CONFIRM_TIMEOUT_S: Final = 10.0
#: Requests on their way to RabbitMQ at a time. Those not confirmed when it goes away are sent once more, and may be
#: there twice then.
UNCONFIRMED_MAX: Final = 500
#: AMQP's delivery mode of a message that survives a restart of the broker.
PERSISTENT: Final = 2
#: Seconds before they are tried again, each time on a new connection, when the broker goes away in the middle.
AGAIN_AFTER_S: Final = (0.2, 1.0, 3.0, 5.0)


def connection_of(app: Celery, settings: Settings) -> Connection:
    """A connection to send by, not made yet; it tells when RabbitMQ holds messages back."""
    # Otherwise kombu would give one address as long as all of them together, when it connects anew.
    options: dict[str, Any] = {"connect_retries_timeout": CONNECT_TIMEOUT_S * address_count(settings)}
    if settings.has_amqp_broker:
        options["on_blocked"] = refusal.blocked
    connection: Connection = app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S, transport_options=options)
    return connection


def connect(connection: Connection, settings: Settings) -> None:
    """Raises :class:`~devicevault.errors.ServiceUnavailable` when the broker can't be reached."""
    try:
        reach(connection, settings, CONNECT_TIMEOUT_S)
    except refusal.broker_errors(connection) as error:
        place, reason = mask_passwords(settings.broker_url), refusal.in_words(error)
        if refusal.is_of_access(error):
            raise ServiceUnavailable(f"the broker at {place} refuses access: {reason}", refusal.ACCESS_FIX) from None
        raise ServiceUnavailable(
            f"the broker at {place} can't be reached: {reason}",
            "see that it runs and that broker_url is right; `devicevault doctor` looks at the whole chain",
        ) from None


def declare(app: Celery, connection: Connection, settings: Settings, groups: Collection[str]) -> dict[str, str]:
    """See that each group's queue is there and has room; why not, by group, where that is about one queue only."""
    refused = {}
    for group in sorted(groups):
        queue = names.queue_for(group)
        # RabbitMQ closes a channel on which it refused something.
        channel = connection.channel()  # type: ignore[no-untyped-call]
        try:
            app.amqp.queues[queue](channel).declare()
        except refusal.broker_errors(connection) as error:
            if not settings.has_amqp_broker or not isinstance(error, connection.channel_errors):
                raise ServiceUnavailable(
                    f"the broker at {mask_passwords(settings.broker_url)} takes nothing: {refusal.in_words(error)}",
                    "nothing was asked for; collect again then",
                ) from None
            refused[group] = f"the broker refuses queue {queue}: {refusal.in_words(error)}"
            logger.error("group %s: %s", group, refused[group], extra={"group": group})
        else:
            channel.close()
    return refused


def send(
    app: Celery,
    connection: Connection,
    requests: Sequence[CollectRequest],
    settings: Settings,
    undelivered: dict[str, str],
) -> None:
    """Send the requests and take each that the broker took out of ``undelivered``.

    Once a message was refused in spite of all retries the broker is away, and the rest would wait for nothing.
    """
    try:
        _Sender(app, connection, settings).send(requests, undelivered)
    except refusal.broker_errors(connection) as error:
        reason = f"the broker did not take the request: {refusal.in_words(error)}; collect the device again"
        undelivered.update(dict.fromkeys(undelivered.keys() & {one.task_id for one in requests}, reason))
        # Closing politely would wait for an answer which a blocked broker never gives.
        connection.collect(CONNECT_TIMEOUT_S)  # type: ignore[no-untyped-call]


def publish(app: Celery, producer: Producer, request: CollectRequest, settings: Settings) -> None:
    """Send one request, once, as the message of its task; its queue is there.

    As ``app.send_task`` would, which takes twice the time to find out anew for each message what is always the same.
    Raises one of :func:`~devicevault.refusal.broker_errors`.
    """
    options = message_options(request, settings)
    headers, properties, body, _ = app.amqp.as_task_v2(
        options["task_id"],
        names.TASK_COLLECT,
        args=(request.to_wire(),),
        # What Flower shows; Celery would write the whole request down once more.
        argsrepr=f"({request.device!r},)",
        kwargsrepr="{}",
        ignore_result=True,
    )
    producer.publish(  # type: ignore[no-untyped-call]
        body,
        exchange="",
        routing_key=options["queue"],
        priority=options["priority"],
        headers=headers,
        serializer="json",
        delivery_mode=PERSISTENT,
        retry=False,
        **properties,
    )


class _Sender:
    """Sends a few requests at a time, on one connection after the other where it is lost.

    Not by kombu's retrying: it tries the lost connection's channel again and again where the queue is to be declared.
    """

    def __init__(self, app: Celery, connection: Connection, settings: Settings) -> None:
        self._app = app
        self._connection = connection
        self._settings = settings
        self._producer: Producer | None = None
        #: Groups whose queues were seen to on this connection.
        self._declared: set[str] = set()
        #: With RabbitMQ only: Redis has taken a message when it was sent.
        self._confirmations: Confirmations | None = None
        #: How many of the requests in hand left.
        self._sent = 0

    def send(self, requests: Sequence[CollectRequest], undelivered: dict[str, str]) -> None:
        """Send these, several times where need be, and take those the broker took out of ``undelivered``."""
        waits_s = iter(AGAIN_AFTER_S)
        left = list(requests)
        while left:
            before = len(left)
            lost: BaseException | None = None
            self._sent = 0
            try:
                self._send_once(left)
            except refusal.PublishingBlockedError:
                raise
            except refusal.broker_errors(self._connection) as error:
                lost = error
            finally:
                left = self._taken(left, undelivered)
            if lost is not None:
                if len(left) < before:
                    waits_s = iter(AGAIN_AFTER_S)
                self._connect_anew(next(waits_s, None), lost)

    def _connect_anew(self, after_s: float | None, lost: BaseException) -> None:
        """Raises what the connection was lost by where there were enough attempts."""
        if after_s is None:
            raise lost
        self._producer = self._confirmations = None
        self._connection.collect(CONNECT_TIMEOUT_S)  # type: ignore[no-untyped-call]
        time.sleep(after_s)

    def _send_once(self, requests: Sequence[CollectRequest]) -> None:
        if self._producer is None:
            self._declared.clear()
            # Connects when it is first used.
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            if self._settings.has_amqp_broker:
                self._confirmations = Confirmations(self._producer.channel)
        for request in requests:
            self._declare(request.group, self._producer)
            if self._confirmations is not None:
                if self._confirmations.open >= UNCONFIRMED_MAX:
                    # RabbitMQ's disk works on these meanwhile.
                    self._confirmations.wait(CONFIRM_TIMEOUT_S, down_to=UNCONFIRMED_MAX // 2)
                self._confirmations.begin(request.task_id)
            publish(self._app, self._producer, request, self._settings)
            self._sent += 1
        if self._confirmations is not None:
            self._confirmations.wait(CONFIRM_TIMEOUT_S)

    def _declare(self, group: str, producer: Producer) -> None:
        """Once on each connection: a broker that comes back may have lost the queue."""
        if group not in self._declared:
            producer.maybe_declare(self._app.amqp.queues[names.queue_for(group)])  # type: ignore[no-untyped-call]
            self._declared.add(group)

    def _taken(self, requests: Sequence[CollectRequest], undelivered: dict[str, str]) -> list[CollectRequest]:
        """Note which the broker took; returns the others."""
        sent, unsent = requests[: self._sent], requests[self._sent :]
        missing = self._confirmations.missing if self._confirmations is not None else set()
        for request in sent:
            if request.task_id not in missing:
                undelivered.pop(request.task_id, None)
        return [request for request in sent if request.task_id in missing] + list(unsent)
