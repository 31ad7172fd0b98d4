"""The Celery task ``device.collect``: lock, collect, publish, and only then acknowledge."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from celery.exceptions import Reject
from celery.signals import worker_init, worker_shutting_down
from redis import Redis

import devicevault
from devicevault import names
from devicevault.celery_app import app
from devicevault.collector import consumption, quiet
from devicevault.collector.activity import Activity
from devicevault.collector.admission import Admission, Standing
from devicevault.collector.collect import CollectorContext, collect, without_session
from devicevault.collector.deadline import interrupt_all
from devicevault.collector.deliveries import Deliveries
from devicevault.collector.holds import Holds
from devicevault.collector.lock import DeviceLocks, OwnTaskLocked, holder_for
from devicevault.collector.logins import GroupLogins
from devicevault.collector.pace import Pace
from devicevault.collector.seal import Sealer
from devicevault.credentials import CredentialStore
from devicevault.errors import (
    CollectionError,
    CollectionInterrupted,
    ConfigurationError,
    DeviceLocked,
    ExitCode,
    MalformedMessage,
    ServiceUnavailable,
)
from devicevault.messages import CollectRequest, CollectResult, Status
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.settings.schema import publish_allowance_s
from devicevault.stream import connect_redis, publish

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two tries of a Redis that does not answer: the first, and the longest.
REDIS_RETRY_S: Final = 0.5
REDIS_RETRY_MAX_S: Final = 15.0
#: Seconds a request that is not to be begun waits for its worker to take no others, before it goes back.
GIVE_BACK_WITHIN_S: Final = 5.0


@dataclass(frozen=True)
class Worker:
    """What this process needs for its tasks, made once."""

    context: CollectorContext
    redis: Redis
    locks: DeviceLocks
    deliveries: Deliveries
    admission: Admission
    holds: Holds
    activity: Activity = field(default_factory=Activity)

    @classmethod
    def from_settings(cls, settings: Settings) -> Worker:
        """Raises :class:`ConfigurationError` with whatever is wrong with credentials, platforms or vault keys."""
        redis = connect_redis(settings.redis_url)
        context = CollectorContext(settings, **_read(settings, redis), pace=Pace(redis))
        activity = Activity()
        holds = Holds(redis, settings, activity)
        return cls(context, redis, DeviceLocks(redis), Deliveries(), Admission(redis), holds, activity)

    def renewed(self, settings: Settings) -> Worker:
        """This worker with what ``settings`` and the files they name say now; sessions that run keep what they had.

        Raises :class:`ConfigurationError`, and nothing has changed then.
        """
        renewed = replace(self, context=replace(self.context, settings=settings, **_read(settings, self.redis)))
        self.holds.settings = settings
        return renewed

    def handle(self, request: CollectRequest) -> CollectResult | None:
        """Collects and publishes; None when another message of this task was or is worked on.

        Raises :class:`CollectionInterrupted` when the worker stops before the result is in the stream, or is not to
        begin anything.
        """
        try:
            with self.deliveries.work(holder_for(request)) as done:
                return None if done else self._handle(request)
        except OwnTaskLocked:
            # Should that worker die, its own message is given to another: this one is not needed.
            return None

    def _handle(self, request: CollectRequest) -> CollectResult | None:
        standing = self._insist(lambda: self.admission.standing(request))
        if standing.is_done:
            return None
        longest_s = publish_allowance_s(min(request.deadline_s, self.context.settings.acknowledgement_limit_s))
        with self.admission.turn(standing, self.context.stopping, longest_s), ExitStack() as until_told:
            result = self._result(request, standing, until_told)
            self.publish(result)
            self._note_done(result, request)
        self.activity.published(result.status)
        _log(result)
        return result

    def publish(self, result: CollectResult) -> None:
        """Puts a result into the stream, however long Redis is away. Raises :class:`CollectionInterrupted`."""
        self._insist(lambda: publish(self.redis, self.context.settings.results_stream, result))

    def _result(self, request: CollectRequest, standing: Standing, until_told: ExitStack) -> CollectResult:
        if self.context.stopping.is_set():
            raise CollectionInterrupted("the worker is stopping")
        if standing.is_cancelled:
            return without_session(request, self.context.worker, Status.CANCELLED, "", "cancelled before it was begun")
        if request.is_expired(datetime.now(UTC)):
            return without_session(
                request,
                self.context.worker,
                Status.EXPIRED,
                "",
                f"waited in queue {names.queue_for(request.group)} until it was not worth doing any more",
                "see whether the group's worker ran and keeps up; queue.wait_s is how long a request may wait",
            )
        if held := self.holds.reason(request.group) or (standing.is_paused and f"group {request.group} is paused"):
            self.holds.wait_until_stopped(request.group, GIVE_BACK_WITHIN_S)
            raise CollectionInterrupted(held)
        settings = self.context.settings.for_group(request.group)
        if standing.begun >= settings.worker.max_deliveries:
            return without_session(
                request,
                self.context.worker,
                Status.FAILURE,
                CollectionError.code,
                f"given up: {standing.begun} times a worker died while it collected this device",
                "see the worker's journal for how it ended, and please report it",
            )
        return self._collected(request, settings.task_limit_s(request.deadline_s), until_told)

    def _collected(self, request: CollectRequest, limit_s: float, until_told: ExitStack) -> CollectResult:
        """What a session under the device's lock brings; the lock is held until other messages know of the result.

        Raises :class:`OwnTaskLocked` when another message of the task is or was worked on meanwhile.
        """
        try:
            lock = self._insist(lambda: self.locks.acquire(request.device_id, holder_for(request), limit_s))
        except OwnTaskLocked:
            raise
        except DeviceLocked as error:
            return without_session(request, self.context.worker, Status.SKIPPED, error.code, error.problem, error.fix)
        until_told.callback(self.locks.release, lock)
        keep_s = 2 * self.context.settings.acknowledgement_limit_s
        try:
            if not self._insist(lambda: self.admission.begin(request.task_id, keep_s=keep_s)):
                raise OwnTaskLocked("another message of the task was worked on")
            with self.activity.session(limit_s):
                return collect(request, self.context)
        except CollectionInterrupted:
            with suppress(ServiceUnavailable):
                self.admission.end(request.task_id)
            raise

    def _note_done(self, result: CollectResult, request: CollectRequest) -> None:
        """Tells other messages of this task; of one that was asked for again, only the first may have expired."""
        if result.status in (Status.EXPIRED, Status.SKIPPED):
            return
        keep_s = 2.0 * self.context.settings.acknowledgement_limit_s
        if request.expires_at is not None:
            keep_s += max(0.0, (request.expires_at - datetime.now(UTC)).total_seconds())
        try:
            self._insist(lambda: self.admission.done(request.task_id, keep_s=keep_s))
        except CollectionInterrupted as error:
            # The result is in the stream, and its row is unique: a second session would be a pity, not a fault.
            logger.warning("%s: other messages of the task do not learn that it is done: %s", request.device, error)

    def _insist(self, action: Callable[[], T]) -> T:
        """Does what needs Redis, again and again while Redis is away."""
        try:
            return action()
        except ServiceUnavailable as error:
            logger.warning("%s; holding on to what I have until it is back", error)
            with self.holds.refused(error.problem):
                outcome = self._insist_still(action)
        logger.info("Redis is back")
        return outcome

    def _insist_still(self, action: Callable[[], T]) -> T:
        wait_s = REDIS_RETRY_S
        while not self.context.stopping.wait(wait_s):
            try:
                return action()
            except ServiceUnavailable:
                wait_s = min(2 * wait_s, REDIS_RETRY_MAX_S)
        raise CollectionInterrupted("the worker is stopping")

    def stop(self, drain_s: float) -> None:
        """Lets running sessions finish for ``drain_s`` seconds, then ends them; their tasks go back to the queue."""
        timer = threading.Timer(drain_s, self._interrupt)
        timer.daemon = True
        timer.start()

    def _interrupt(self) -> None:
        self.context.stopping.set()
        ended = interrupt_all(CollectionInterrupted("the worker is stopping"))
        if ended:
            logger.warning("Ended %d sessions to stop; their tasks go back to the queue", ended)


def _read(settings: Settings, redis: Redis) -> dict[str, Any]:
    """What a context holds of the files on this host."""
    sealer = Sealer.from_settings(settings)
    return {
        "credentials": CredentialStore.load(settings.credentials_file),
        "platforms": Platforms.load(settings.platforms_dir),
        "sealer": sealer,
        "logins": GroupLogins(redis, sealer),
    }


class _ThisProcess:
    """The worker of this process, made at its first task or when the daemon starts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        with self._lock:
            if self._worker is None:
                self._worker = Worker.from_settings(app.settings)
            return self._worker

    def renew(self, settings: Settings) -> None:
        """From the next task on, these settings. Raises :class:`ConfigurationError`, and nothing has changed then."""
        with self._lock:
            if self._worker is not None:
                self._worker = self._worker.renewed(settings)
        app.renew(settings)

    def stop(self, drain_s: float) -> None:
        with self._lock:
            if self._worker is not None:
                self._worker.stop(drain_s)


this_process: Final = _ThisProcess()
consumption.install(app, lambda: this_process.worker().holds)


@app.task(name=names.TASK_COLLECT, bind=True, acks_late=True, ignore_result=True, reject_on_worker_lost=True)  # type: ignore[untyped-decorator]  # Celery is untyped
def collect_device(task: Any, request: Any) -> dict[str, Any]:
    """Collects one device and publishes the result; returns a summary without configuration or secrets."""
    worker = this_process.worker()
    with worker.activity.task():
        return _collect(worker, str(task.request.id), request)


def _collect(worker: Worker, task_id: str, request: Any) -> dict[str, Any]:
    try:
        parsed = CollectRequest.from_wire(request)
    except MalformedMessage as error:
        result = _unreadable(request, task_id, worker, error)
        worker.publish(result)
        return summary(result)
    try:
        handled = worker.handle(parsed)
    except CollectionInterrupted as error:
        logger.info("%s: back to the queue: %s", parsed.device, error, extra={"device": parsed.device})
        raise Reject(str(error), requeue=True) from None
    return summary(handled) if handled else {"device": parsed.device, "status": "delivered twice"}


def _unreadable(request: Any, task_id: str, worker: Worker, error: MalformedMessage) -> CollectResult:
    """The result of a request that can't be read: its row must say so, since nothing else will."""
    told = request if isinstance(request, dict) else {}
    names_of_it = {name: str(told.get(name) or "unknown") for name in ("device_id", "device")}
    logger.error("Request %s can't be read: %s", task_id, error, extra={"task_id": task_id})
    return CollectResult(
        **names_of_it,
        task_id=task_id,
        run_id=str(told.get("run_id") or ""),
        status=Status.FAILURE,
        error=CollectionError.code,
        error_message=f"the worker can't read the request: {error}; run the same release on vault and workers",
        initiated_at=datetime.now(UTC),
        worker=worker.context.worker,
        worker_version=devicevault.__version__,
    )


def _log(result: CollectResult) -> None:
    extra = {
        "device": result.device,
        "group": result.group,
        "platform": result.platform,
        "task_id": result.task_id,
        "run_id": result.run_id,
        "status": result.status,
        "error": result.error,
        "duration_ms": result.collection_duration_ms,
    }
    size = sum(artifact.size for artifact in result.artifacts)
    told = f"{size} bytes in {result.collection_duration_ms} ms" if size else result.error_message
    level = logging.WARNING if result.status == Status.FAILURE else logging.INFO
    logger.log(level, "%s: %s: %s", result.device, result.status, told, extra=extra)


def summary(result: CollectResult) -> dict[str, Any]:
    """What Flower and the worker's log show."""
    told: dict[str, Any] = {"device": result.device, "status": result.status}
    if result.error:
        told["error"] = result.error
    told["duration_ms"] = result.collection_duration_ms
    told["bytes"] = sum(artifact.size for artifact in result.artifacts)
    return told


@worker_init.connect  # type: ignore[untyped-decorator]
def prepare(**_: Any) -> None:
    """Finds what is wrong with credentials, platforms and keys before the first task comes, not with it."""
    quiet.install()
    try:
        this_process.worker()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(ExitCode.CONFIGURATION) from None


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def drain(how: str = "Warm", **_: Any) -> None:
    """Bounds how long a stopping worker waits for its sessions."""
    this_process.stop(app.settings.worker.drain_s if how == "Warm" else 0)
