"""Put a result into the stream, and note that its task is done."""

from __future__ import annotations

from collections.abc import Callable
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
#: Adds the entry unless the task is done, and notes that it is: all of it, or nothing. Written again where it was noted
#: before, so that what the replicas then confirm includes the entry. An older Redis would hide why a ``call`` failed.
_ADD_AND_NOTE: Final = """
local id = ''
if redis.call('EXISTS', KEYS[2]) == 0 then
  id = redis.pcall('XADD', KEYS[1], '*', unpack(ARGV, 2))
  if type(id) == 'table' and id.err then return id end
end
redis.call('SET', KEYS[2], 1, 'PX', ARGV[1])
redis.call('DEL', KEYS[3])
return id
"""


def publish(redis: Redis, stream: str, result: CollectResult, *, done_s: float = 0.0) -> str:
    """Add the result to ``stream`` and tell its entry's id.

    With ``done_s`` the task is noted as done for so many seconds in the same step: its other messages then ask for
    nothing, and where the result is there already, because an answer got lost, none is added and the id is empty.
    Without, the same entry may come twice; the unique ``task_id`` absorbs it.

    The stream is never cut here: that would destroy entries nobody has read yet. Raises
    :class:`~devicevault.errors.ServiceUnavailable`; trying again later is right, whatever the reason.
    """
    fields: dict[Any, Any] = dict(encode(result))
    sentinels = sentinels_of(redis)

    def add(client: Redis) -> Any:
        if not done_s:
            return client.xadd(stream, fields)
        keys = (stream, names.DONE_PREFIX + result.task_id, names.BEGUN_PREFIX + result.task_id)
        flat = [part for field in fields.items() for part in field]
        return client.eval(_ADD_AND_NOTE, len(keys), *keys, max(1, int(done_s * 1000)), *flat)

    with unavailable(redis):
        if sentinels is not None and sentinels.replicas:
            return _text(_replicated(redis, add, sentinels.replicas))
        return _text(add(redis))


def _replicated(redis: Redis, add: Callable[[Redis], Any], replicas: int) -> object:
    """Add the entry and see that this many replicas have it: else a primary that dies takes it along."""
    # Without them the entry would be added at each try anew.
    info: Any = redis.info("replication")
    confirmed = int(info["connected_slaves"])
    if confirmed >= replicas:
        # In one go: tried again after a broken connection, WAIT alone would ask another primary, for nothing.
        with redis.pipeline(transaction=False) as pipeline:
            add(pipeline)
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
