"""A worker's part in one task: lock the device, collect it, and publish the result."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from devicevault import names
from devicevault.collector.activity import Activity
from devicevault.collector.admission import Admission, Standing
from devicevault.collector.collect import CollectorContext, collect, without_session
from devicevault.collector.deadline import interrupt_all
from devicevault.collector.deliveries import Deliveries
from devicevault.collector.holds import Holds
from devicevault.collector.lock import DeviceLocks, OwnTaskLocked, holder_for
from devicevault.collector.logins import GroupLogins
from devicevault.collector.pace import Pace
from devicevault.collector.patience import Patience
from devicevault.collector.seal import Sealer
from devicevault.credentials import CredentialStore
from devicevault.errors import CollectionError, CollectionInterrupted, DeviceLocked, ServiceUnavailable
from devicevault.messages import CollectRequest, CollectResult, Status
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.settings.schema import publish_allowance_s
from devicevault.stream import connect_redis, publish
from devicevault.stream.connection import READ_LITTLE_BYTES
from devicevault.wording import counted

logger = logging.getLogger(__name__)

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
    patience: Patience
    activity: Activity = field(default_factory=Activity)

    @classmethod
    def from_settings(cls, settings: Settings) -> Worker:
        """Raises :class:`ConfigurationError` with whatever is wrong with credentials, platforms or vault keys."""
        # A connection for each session, and no long answer on any.
        redis = connect_redis(settings.redis_url, read_bytes=READ_LITTLE_BYTES)
        context = CollectorContext(settings, **_read(settings, redis), pace=Pace(redis))
        activity = Activity()
        holds = Holds(redis, settings, activity)
        patience = Patience(holds, context.stopping)
        return cls(context, redis, DeviceLocks(redis), Deliveries(), Admission(redis), holds, patience, activity)

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
        standing = self.patience.insist(lambda: self.admission.standing(request))
        if standing.is_done:
            return None
        longest_s = publish_allowance_s(min(request.deadline_s, self.context.settings.acknowledgement_limit_s))
        with self.admission.turn(standing, self.context.stopping, longest_s), ExitStack() as until_told:
            result = self._result(request, standing, until_told)
            self.publish(result, self._done_s(result, request))
        self.activity.published(result.status)
        _log(result)
        return result

    def publish(self, result: CollectResult, done_s: float = 0.0) -> None:
        """Puts a result into the stream, however long Redis is away; its task counts as done for ``done_s`` seconds.

        Raises :class:`CollectionInterrupted`.
        """
        stream = self.context.settings.results_stream
        self.patience.insist(lambda: publish(self.redis, stream, result, done_s=done_s))

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
            lock = self.patience.insist(lambda: self.locks.acquire(request.device_id, holder_for(request), limit_s))
        except OwnTaskLocked:
            raise
        except DeviceLocked as error:
            return without_session(request, self.context.worker, Status.SKIPPED, error.code, error.problem, error.fix)
        until_told.callback(self.locks.release, lock)
        keep_s = 2 * self.context.settings.acknowledgement_limit_s
        try:
            if not self.patience.insist(lambda: self.admission.begin(request.task_id, keep_s=keep_s)):
                raise OwnTaskLocked("another message of the task was worked on")
            with self.activity.session(limit_s):
                return collect(request, self.context)
        except CollectionInterrupted:
            with suppress(ServiceUnavailable):
                self.admission.end(request.task_id)
            raise

    def _done_s(self, result: CollectResult, request: CollectRequest) -> float:
        """Seconds for which other messages of the task may come; 0.0 where one of them may still bring a backup."""
        if result.status in (Status.EXPIRED, Status.SKIPPED):
            return 0.0
        done_s = 2.0 * self.context.settings.acknowledgement_limit_s
        if request.expires_at is not None:
            done_s += max(0.0, (request.expires_at - datetime.now(UTC)).total_seconds())
        return done_s

    def stop(self, drain_s: float) -> None:
        """Lets running sessions finish for ``drain_s`` seconds, then ends them; their tasks go back to the queue."""
        timer = threading.Timer(drain_s, self._interrupt)
        timer.daemon = True
        timer.start()

    def _interrupt(self) -> None:
        self.context.stopping.set()
        ended = interrupt_all(CollectionInterrupted("the worker is stopping"))
        if ended:
            logger.warning("Ended %s to stop; what is not done goes back to the queue", counted(ended, "session"))


def _read(settings: Settings, redis: Redis) -> dict[str, Any]:
    """What a context holds of the files on this host."""
    sealer = Sealer.from_settings(settings)
    return {
        "credentials": CredentialStore.load(settings.credentials_file),
        "platforms": Platforms.load(settings.platforms_dir),
        "sealer": sealer,
        "logins": GroupLogins(redis, sealer),
    }


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
