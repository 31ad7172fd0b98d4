"""What people tell the workers through Redis: pause a group, cancel a task. Workers know no database.

A worker asks before it starts a task; a session that runs is never interrupted. Whatever a key here says, the
database has the last word: a result that comes in spite of it is written by the rules every result is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from devicevault import names
from devicevault.stream import unavailable

#: Keys set in one round trip.
AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Pause:
    """Who paused a group, and when (ISO 8601); empty where the entry does not tell."""

    by: str = ""
    since: str = ""


def pause_group(redis: Redis, group: str, *, by: str) -> None:
    """Let the group's workers start no task until :func:`resume_group`; pausing again changes nothing.

    Every function here raises :class:`~devicevault.errors.ServiceUnavailable` when Redis does not answer.
    """
    pause = Pause(by, datetime.now(UTC).isoformat(timespec="seconds"))
    with unavailable(redis):
        redis.hsetnx(names.PAUSED_GROUPS, group, json.dumps(asdict(pause)))


def resume_group(redis: Redis, group: str) -> bool:
    """Let the group's workers go on, with every credential they stopped using; tells whether it was paused."""
    with unavailable(redis), redis.pipeline() as pipeline:
        pipeline.hdel(names.PAUSED_GROUPS, group)
        pipeline.delete(names.REFUSED_PREFIX + group)
        was_paused, _ = pipeline.execute()
    return bool(was_paused)


def refused_logins(redis: Redis, group: str) -> dict[str, int]:
    """Refused logins in a row of the group's credentials, the most of each name; a success ends the row."""
    with unavailable(redis):
        found: Any = redis.hgetall(names.REFUSED_PREFIX + group)
    counts: dict[str, int] = {}
    for entry, count in found.items():
        credential, _, _ = _text(entry).rpartition(" ")
        counts[credential] = max(counts.get(credential, 0), int(count))
    return counts


def is_paused(redis: Redis, group: str) -> bool:
    """Whether the group's workers shall start no task."""
    with unavailable(redis):
        return bool(redis.hexists(names.PAUSED_GROUPS, group))


def paused_groups(redis: Redis) -> dict[str, Pause]:
    """Every paused group, by name."""
    with unavailable(redis):
        found: Any = redis.hgetall(names.PAUSED_GROUPS)
    return {_text(group): _pause(raw) for group, raw in sorted(found.items())}


def cancel_tasks(redis: Redis, task_ids: Iterable[str], *, keep_s: float) -> None:
    """Let no worker start these tasks. The word is kept for ``keep_s`` seconds: as long as their messages may wait."""
    _set_all(redis, (names.CANCELLED_PREFIX + task_id for task_id in task_ids), keep_s)


def is_cancelled(redis: Redis, task_id: str) -> bool:
    """Whether this task shall not be started any more."""
    with unavailable(redis):
        return bool(redis.exists(names.CANCELLED_PREFIX + task_id))


def mark_done(redis: Redis, task_id: str, *, keep_s: float) -> None:
    """Tell other messages of this task that its result is in the stream, for ``keep_s`` seconds."""
    _set_all(redis, [names.DONE_PREFIX + task_id], keep_s)


def is_done(redis: Redis, task_id: str) -> bool:
    """Whether this task's result is in the stream: one more message of it asks for nothing."""
    with unavailable(redis):
        return bool(redis.exists(names.DONE_PREFIX + task_id))


def _set_all(redis: Redis, keys: Iterable[str], keep_s: float) -> None:
    waiting = list(keys)
    for start in range(0, len(waiting), AT_ONCE):
        with unavailable(redis), redis.pipeline(transaction=False) as pipeline:
            for key in waiting[start : start + AT_ONCE]:
                pipeline.set(key, 1, px=max(1, int(keep_s * 1000)))
            pipeline.execute()


def _pause(raw: bytes | str) -> Pause:
    """Somebody may have set the field by hand: it pauses the group whatever it says."""
    try:
        told = json.loads(raw)
    except ValueError:
        return Pause()
    return Pause(str(told.get("by", "")), str(told.get("since", ""))) if isinstance(told, dict) else Pause()


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
