"""What workers tell of themselves in Redis, every few seconds: the vault's doctor and metrics read it.

One hash, a field for each worker. A worker that is gone stays there, with the time it was last heard of, until it was
silent for :data:`FORGET_AFTER_S`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from redis import Redis

from devicevault import names
from devicevault.stream import unavailable

#: Seconds between two heartbeats, and after how many a worker counts as silent.
INTERVAL_S: Final = 15.0
SILENT_AFTER_S: Final = 4 * INTERVAL_S
FORGET_AFTER_S: Final = 7 * 86400
#: The state of a worker that ended by itself.
STOPPED: Final = "stopped"


class Heartbeat(BaseModel):
    """One worker, as it was when it was last heard of. Names and digests only, never a secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: As the broker knows it: ``GROUP@HOST``, or what a plain ``celery worker`` is called.
    worker: str
    #: The collector groups whose queues it consumes; a service of ours has one.
    groups: tuple[str, ...] = Field(min_length=1)
    version: str
    started_at: AwareDatetime
    #: By Redis' clock: those of two hosts may differ.
    seen_at: AwareDatetime
    #: What it is doing, in words.
    state: str = ""
    concurrency: int = 0
    in_flight: int = 0
    stuck: int = 0
    done: int = 0
    failed: int = 0
    credentials: tuple[str, ...] = ()
    #: Name of each platform page to its ``rules_digest``.
    platforms: dict[str, str] = Field(default_factory=dict)
    #: The key it seals originals with; ``plain`` when it does not.
    key_id: str = ""
    #: Where it puts its results.
    results_stream: str = ""

    def silent_s(self, now: datetime) -> float:
        """Seconds since it was last heard of."""
        return max(0.0, (now - self.seen_at).total_seconds())


def beat(redis: Redis, worker: str, **told: Any) -> None:
    """Tell what there is to tell of ``worker`` now; ``told`` are the other fields of :class:`Heartbeat`.

    Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    heartbeat = Heartbeat(worker=worker, seen_at=redis_now(redis), **told)
    with unavailable(redis):
        redis.hset(names.WORKERS, worker, heartbeat.model_dump_json())


def forget(redis: Redis, workers: Collection[str]) -> None:
    """Forget these, which are gone for good. Raises ServiceUnavailable."""
    with unavailable(redis):
        redis.hdel(names.WORKERS, *workers)


def heartbeats(redis: Redis) -> list[Heartbeat]:
    """Every worker heard of lately, by name; those that were silent for too long are forgotten.

    What can't be read, from a release to come, is passed over. Raises ServiceUnavailable.
    """
    now = redis_now(redis)
    with unavailable(redis):
        told: Any = redis.hgetall(names.WORKERS)
    found = []
    for name, raw in sorted(told.items()):
        try:
            heartbeat = Heartbeat.model_validate_json(raw)
        except ValidationError:
            continue
        if heartbeat.silent_s(now) < FORGET_AFTER_S:
            found.append(heartbeat)
        else:
            with unavailable(redis):
                redis.hdel(names.WORKERS, name)
    return found


def redis_now(redis: Redis) -> datetime:
    """The time by Redis' clock. Raises ServiceUnavailable."""
    with unavailable(redis):
        answer: Any = redis.time()
    seconds, microseconds = answer
    return datetime.fromtimestamp(int(seconds) + int(microseconds) / 1e6, UTC)
