"""From devices to queued requests: a run, a ``queued`` row for each device, and then the messages.

The rows are committed before the first message leaves, so that a result always finds its row. What the broker
did not take is said in the row at once: a request never just vanishes.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from devicevault import names, sending
from devicevault.inventory import Device
from devicevault.messages import CollectRequest
from devicevault.settings import Settings
from devicevault.store import Store, mark_undelivered, open_run, queue_requests, reader

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)

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
    with sending.connection_of(app, settings) as connection:
        sending.connect(connection, settings)
        refused_groups = sending.declare(app, connection, settings, {device.group for device in devices})
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
            sending.send(app, connection, to_send, settings, undelivered)
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
