"""The broker, the queues in it, and the workers that listen to them."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from amqp.exceptions import AccessRefused, PreconditionFailed
from kombu.exceptions import OperationalError

from devicevault import names, rabbitmq
from devicevault.celery_app import app
from devicevault.daemons.share import group_of
from devicevault.doctor.finding import Finding, State
from devicevault.errors import ExitCode, ServiceUnavailable
from devicevault.inventory import Inventory
from devicevault.nearest import did_you_mean
from devicevault.queues import reach
from devicevault.refusal import ACCESS_FIX, in_words, is_of_access
from devicevault.settings import Settings, mask_passwords

if TYPE_CHECKING:
    from kombu.connection import Connection

BROKER: Final = "broker"
WORKERS: Final = "workers"
MANAGEMENT: Final = "management API"
CONNECT_TIMEOUT_S: Final = 5
#: How long workers have to answer; a busy one needs up to a second.
ANSWER_WITHIN_S: Final = 2.0


def look(settings: Settings, inventory: Inventory | None) -> Generator[Finding, None, frozenset[str]]:
    """Whether requests get to workers. Returns the names of those that answer."""
    app.use(settings)
    with app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S) as connection:
        try:
            reach(connection, settings, CONNECT_TIMEOUT_S)
            listened_to = _queues_of_workers(connection)
            queues = _queues_of(inventory) | {q for queues in listened_to.values() for q in queues}
            waiting = _waiting(connection, queues)
            refused = _refused(connection, waiting) if settings.has_amqp_broker else {}
        except (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            yield _unreachable(settings, error)
            yield Finding.unknown(WORKERS, "not looked at: the broker does not answer")
            return frozenset()
    yield Finding.ok(BROKER, f"{mask_passwords(settings.broker_url)} answers")
    for queue, reason in sorted(refused.items()):
        problem, _, fix = reason.partition("; ")
        yield Finding.fault(BROKER, f"queue {queue} can't be used: {problem}", fix)
    yield from judge_workers(listened_to, waiting, inventory)
    if settings.has_amqp_broker:
        yield _management(settings)
    return frozenset(listened_to)


def _queues_of(inventory: Inventory | None) -> set[str]:
    groups = {device.group for device in inventory or () if device.enabled}
    return {names.queue_for(group) for group in groups}


def _queues_of_workers(connection: Connection) -> dict[str, list[str]]:
    """The queues each worker listens to, by the worker's name."""
    inspect = app.control.inspect(timeout=ANSWER_WITHIN_S, connection=connection)
    answers = inspect.active_queues() or {}
    return {worker: sorted(queue["name"] for queue in queues) for worker, queues in answers.items()}


def _waiting(connection: Connection, queues: set[str]) -> dict[str, int]:
    """Requests waiting in each queue that is there."""
    waiting = {}
    for queue in queues:
        # A broker closes the channel on which it was asked for a queue it does not have.
        channel = connection.channel()  # type: ignore[no-untyped-call]
        try:
            waiting[queue] = channel.queue_declare(queue, passive=True).message_count
        except connection.channel_errors:
            continue
        channel.close()
    return waiting


def _refused(connection: Connection, queues: Collection[str]) -> dict[str, str]:
    """Why RabbitMQ refuses a queue that is there, as workers and `collect` declare it; of each that it refuses."""
    refused = {}
    for queue in queues:
        channel = connection.channel()  # type: ignore[no-untyped-call]
        arguments = app.amqp.queues[queue].queue_arguments
        try:
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
        except PreconditionFailed as error:
            refused[queue] = in_words(error)
        except AccessRefused:
            continue
        else:
            channel.close()
    return refused


def judge_workers(
    listened_to: Mapping[str, list[str]], waiting: Mapping[str, int], inventory: Inventory | None
) -> Iterator[Finding]:
    """What is to be said of queues without workers, and of workers on queues that no device uses."""
    used = _queues_of(inventory)
    for worker, queues in sorted(listened_to.items()):
        if queues:
            yield Finding.ok(WORKERS, f"{worker} listens to {', '.join(queues)}")
            continue
        yield Finding.warning(
            WORKERS,
            f"{worker} is there and takes no requests at the moment",
            f"systemctl status devicevault-worker@{group_of(worker)} tells why: a pause, or a service that is away",
        )
    resting = {names.queue_for(group_of(worker)) for worker, queues in listened_to.items() if not queues}
    heard = {queue for queues in listened_to.values() for queue in queues}
    for queue in sorted(used - heard - resting):
        count = f"{_requests(waiting[queue])} there, and " if waiting.get(queue) else ""
        group = queue.removeprefix(names.GROUP_QUEUE_PREFIX)
        yield Finding.fault(
            WORKERS,
            f"no worker listens to queue {queue}; {count}devices of group {group} are not collected",
            f"start one: systemctl start devicevault-worker@{group}",
        )
    for queue in sorted(heard - used) if inventory is not None else ():
        yield Finding.warning(
            WORKERS,
            f"a worker listens to queue {queue}, which no enabled device uses",
            did_you_mean(queue, sorted(used - heard)) or "correct the worker's group, or the devices' group",
        )
    if not listened_to and not used:
        yield Finding.warning(WORKERS, "no worker answers", "start one: systemctl start devicevault-worker@GROUP")


def _requests(count: int) -> str:
    return "1 request waits" if count == 1 else f"{count} requests wait"


def _unreachable(settings: Settings, error: BaseException) -> Finding:
    place = mask_passwords(settings.broker_url)
    reason = in_words(error)
    if is_of_access(error):
        problem, fix = f"{place} refuses access: {reason}", ACCESS_FIX
    elif settings.has_amqp_broker:
        problem = f"{place} can't be reached from this host: {reason}"
        fix = "systemctl start rabbitmq-server on its host, let port 5672 through, or correct broker_url"
    else:
        problem = f"{place} can't be reached from this host: {reason}"
        fix = "systemctl start redis-server on its host, let its port through, or correct broker_url"
    return Finding(BROKER, State.FAULT, problem, fix, ExitCode.UNAVAILABLE)


def _management(settings: Settings) -> Finding:
    """Only Flower needs it, so its absence is no fault."""
    try:
        found = rabbitmq.queues(settings.broker_api, rabbitmq.virtual_host_of(settings.broker_url))
    except ServiceUnavailable as error:
        return Finding.warning(MANAGEMENT, f"{error.problem}; Flower shows no queues", error.fix)
    return Finding.ok(MANAGEMENT, f"answers; {len(found)} queues")
