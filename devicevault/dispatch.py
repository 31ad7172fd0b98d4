"""From devices to queued requests: a run, a ``queued`` row for each device, and then the messages.

The rows are committed before the first message leaves, so that a result always finds its row. What the broker
did not take is said in the row at once: a request never just vanishes.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from devicevault import names, refusal
from devicevault.celery_app import message_options
from devicevault.errors import ServiceUnavailable
from devicevault.inventory import Device
from devicevault.messages import CollectRequest
from devicevault.settings import Settings, mask_passwords
from devicevault.store import Store, mark_undelivered, open_run, queue_requests, reader

if TYPE_CHECKING:
    from celery import Celery
    from kombu.connection import Connection
    from kombu.messaging import Producer

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
#: RabbitMQ without disk or memory to spare confirms nothing and refuses nothing: it just stays silent.
CONFIRM_TIMEOUT_S: Final = 10.0
#: Seconds before one message is tried again, each on a new connection, when the broker goes away in the middle.
AGAIN_AFTER_S: Final = (0.2, 1.0, 3.0, 5.0)
#: What becomes of requests that were not sent when the command itself was ended.
INTERRUPTED: Final = "interrupted before the request was sent; collect the device again"


@dataclass(frozen=True)
class Run:
    """A wish to collect, as it stands in the database."""

    run_id: str
    asked_by: str
    #: ``manual``, ``scheduled`` or ``inline``.
    kind: str
    requested_at: datetime


@dataclass(frozen=True)
class Dispatched:
    """A run whose requests are on their way."""

    run_id: str
    #: Why the broker did not take some of them, by ``task_id``; their rows say so.
    not_taken: Mapping[str, str]


def build_request(
    device: Device,
    run: Run,
    settings: Settings,
    *,
    host_keys: Sequence[str] = (),
    priority: int = names.PRIORITY_PERSON,
) -> CollectRequest:
    """The request for one device, with what it and its group set. ``settings`` are the general ones."""
    ours = settings.for_group(device.group)
    options: dict[str, Any] = dict(device.options)
    if device.algorithms is not None:
        options["algorithms"] = device.algorithms
    return CollectRequest(
        task_id=str(uuid.uuid4()),
        run_id=run.run_id,
        task_identifier=f"{run.kind}:{run.asked_by}",
        device_id=device.device_id,
        device=device.name,
        address=device.address,
        port=device.port,
        platform=device.platform,
        group=device.group,
        credentials=device.credentials,
        host_keys=tuple(host_keys),
        jump=device.jump,
        transport=device.transport,
        console=device.console,
        console_line=device.console_line,
        options=options,
        priority=priority,
        requested_at=run.requested_at,
        expires_at=run.requested_at + timedelta(seconds=ours.queue.wait_s),
        deadline_s=device.deadline_s or ours.ssh.deadline_s,
    )


def dispatch(
    devices: Sequence[Device],
    *,
    settings: Settings,
    store: Store,
    app: Celery,
    asked_by: str,
    kind: str = "manual",
    priority: int = names.PRIORITY_PERSON,
) -> Dispatched:
    """Open a run for these devices and queue their requests.

    A device whose task of an earlier run still waits gets one more message of that task, and this run waits for its
    row. Raises :class:`~devicevault.errors.ServiceUnavailable` when the broker can't be reached or has no room, with
    nothing written. A message the broker does not take later on ends as a ``failure`` row that says so.
    """
    on_blocked = {"on_blocked": refusal.blocked} if settings.has_amqp_broker else {}
    with app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S, transport_options=on_blocked) as connection:
        _connect(connection, settings)
        refused_groups = _declare(app, connection, settings, {device.group for device in devices})
        run, requests = queue_rows(
            devices, settings=settings, store=store, asked_by=asked_by, kind=kind, priority=priority, attach=True
        )
        # The row of a task that was sent before waits for that message, whatever becomes of this one.
        undelivered = {
            request.task_id: refused_groups.get(request.group, INTERRUPTED)
            for request in requests
            if not request.repeat
        }
        try:
            to_send = [request for request in requests if request.group not in refused_groups]
            _send(app, connection, to_send, settings, undelivered)
        finally:
            if undelivered:
                with store.session() as session:
                    mark_undelivered(session, undelivered)
    logger.info("run %s: %d requests queued, %d not taken by the broker", run.run_id, len(requests), len(undelivered))
    return Dispatched(run.run_id, undelivered)


def queue_rows(
    devices: Iterable[Device],
    *,
    settings: Settings,
    store: Store,
    asked_by: str,
    kind: str = "manual",
    priority: int = names.PRIORITY_PERSON,
    attach: bool = False,
) -> tuple[Run, list[CollectRequest]]:
    """Write a run and a ``queued`` row for each device, committed; returns the run and the requests to send.

    With ``attach`` the run waits for a device's task that waits already, instead of queuing another.
    """
    devices = list(devices)
    requested_at = datetime.now(UTC)
    with store.session() as session:
        run_id = open_run(session, asked_by=asked_by, kind=kind, requested_at=requested_at)
        run = Run(run_id, asked_by, kind, requested_at)
        pinned = reader.pinned_host_keys(session, [device.device_id for device in devices])
        requests = [
            build_request(device, run, settings, host_keys=pinned.get(device.device_id, ()), priority=priority)
            for device in devices
        ]
        to_send = queue_requests(session, run_id, requests, attach=attach)
    return run, to_send


def _connect(connection: Connection, settings: Settings) -> None:
    try:
        connection.ensure_connection(  # type: ignore[no-untyped-call]
            max_retries=1, interval_start=0.2, timeout=CONNECT_TIMEOUT_S
        )
    except refusal.broker_errors(connection) as error:
        raise ServiceUnavailable(
            f"the broker at {mask_passwords(settings.broker_url)} can't be reached: {refusal.in_words(error)}",
            "see that it runs and that broker_url is right; `devicevault doctor` looks at the whole chain",
        ) from None


def _declare(app: Celery, connection: Connection, settings: Settings, groups: Collection[str]) -> dict[str, str]:
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


def _send(
    app: Celery,
    connection: Connection,
    requests: Sequence[CollectRequest],
    settings: Settings,
    undelivered: dict[str, str],
) -> None:
    """Send the requests and take each that the broker took out of ``undelivered``.

    Once a message was refused in spite of all retries the broker is away, and the rest would wait for nothing.
    """
    producer = app.amqp.Producer(connection, auto_declare=False)
    for request in requests:
        try:
            producer = _send_one(app, connection, producer, request, settings)
        except refusal.broker_errors(connection) as error:
            reason = f"the broker did not take the request: {refusal.in_words(error)}; collect the device again"
            undelivered.update(dict.fromkeys(undelivered.keys() & {one.task_id for one in requests}, reason))
            # Closing politely would wait for an answer which a blocked broker never gives.
            connection.collect(CONNECT_TIMEOUT_S)  # type: ignore[no-untyped-call]
            return
        undelivered.pop(request.task_id, None)


def _send_one(
    app: Celery, connection: Connection, producer: Producer, request: CollectRequest, settings: Settings
) -> Producer:
    """Send one request; returns the producer for the next one, which is another after the connection was lost.

    Not by kombu's retrying: it tries the lost connection's channel again and again where the queue is to be declared.
    """
    waits_s = iter(AGAIN_AFTER_S)
    while True:
        try:
            app.send_task(
                names.TASK_COLLECT,
                args=(request.to_wire(),),
                producer=producer,
                ignore_result=True,
                retry=False,
                confirm_timeout=CONFIRM_TIMEOUT_S,
                **message_options(request, settings),
            )
            return producer
        except refusal.PublishingBlockedError:
            raise
        except refusal.broker_errors(connection):
            wait_s = next(waits_s, None)
            if wait_s is None:
                raise
        connection.collect(CONNECT_TIMEOUT_S)  # type: ignore[no-untyped-call]
        time.sleep(wait_s)
        # Connects when it is first used.
        producer = app.amqp.Producer(connection, auto_declare=False)
