"""Put a result into the stream, and note that its task is done."""

from __future__ import annotations

from typing import Any, Final

from redis import Redis

from devicevault import names
from devicevault.errors import ServiceUnavailable
from devicevault.messages import CollectResult
from devicevault.stream.connection import place_of, unavailable
from devicevault.stream.entry import encode
from devicevault.stream.sentinel import sentinels_of

#: What replicas may need to confirm a result; less than a client waits for an answer.
REPLICATED_WITHIN_MS: Final = 2000
#: Adds an entry and notes that its task is done: both, or where Redis has no room neither.
_ADD_AND_NOTE: Final = """
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
redis.call('SET', KEYS[2], 1, 'PX', ARGV[1])
redis.call('DEL', KEYS[3])
return id
"""


def publish(redis: Redis, stream: str, result: CollectResult, *, done_s: float = 0.0) -> str:
    """Add the result to ``stream`` and tell its entry's id.

    With ``done_s`` the task is noted as done for so many seconds, in the same step: a worker that dies then leaves no
    message of it that would be worked on again. Where replicas have to confirm the result, only once they have.

    The stream is never cut here: that would destroy entries nobody has read yet. redis-py may send the same
    entry twice when an answer gets lost; the unique ``task_id`` absorbs it. Raises
    :class:`~devicevault.errors.ServiceUnavailable`; trying again later is right, whatever the reason.
    """
    fields: dict[Any, Any] = dict(encode(result))
    done, begun = names.DONE_PREFIX + result.task_id, names.BEGUN_PREFIX + result.task_id
    done_ms = int(done_s * 1000)
    sentinels = sentinels_of(redis)
    with unavailable(redis):
        if sentinels is not None and sentinels.replicas:
            entry_id = _add_replicated(redis, stream, fields, sentinels.replicas)
            if done_ms:
                with redis.pipeline(transaction=False) as pipeline:
                    pipeline.set(done, 1, px=done_ms)
                    pipeline.delete(begun)
                    pipeline.execute()
        elif done_ms:
            flat = [part for field in fields.items() for part in field]
            entry_id = redis.eval(_ADD_AND_NOTE, 3, stream, done, begun, done_ms, *flat)
        else:
            entry_id = redis.xadd(stream, fields)
    return _text(entry_id)


def _add_replicated(redis: Redis, stream: str, fields: dict[Any, Any], replicas: int) -> object:
    """Add the entry and see that this many replicas have it: else a primary that dies takes it along."""
    # Without them the entry would be added at each try anew.
    info: Any = redis.info("replication")
    confirmed = int(info["connected_slaves"])
    if confirmed >= replicas:
        # In one go: tried again after a broken connection, WAIT alone would ask another primary, for nothing.
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.xadd(stream, fields)
            pipeline.wait(replicas, REPLICATED_WITHIN_MS)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        entry_id, confirmed = answers
    if confirmed < replicas:
        raise ServiceUnavailable(
            f"Redis at {place_of(redis)} has no {replicas} replica(s) that follow it, and could lose the result",
            "see that they run: redis-cli INFO replication",
        )
    return entry_id


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
