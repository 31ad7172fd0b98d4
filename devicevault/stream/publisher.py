"""Put a result into the stream."""

from __future__ import annotations

from typing import Any

from redis import Redis

from devicevault.messages import CollectResult
from devicevault.stream.connection import unavailable
from devicevault.stream.entry import encode


def publish(redis: Redis, stream: str, result: CollectResult) -> str:
    """Add the result to ``stream`` and tell its entry's id.

    The stream is never cut here: that would destroy entries nobody has read yet. redis-py may send the same
    entry twice when an answer gets lost; the unique ``task_id`` absorbs it. Raises
    :class:`~devicevault.errors.ServiceUnavailable`; trying again later is right, whatever the reason.
    """
    fields: dict[Any, Any] = dict(encode(result))
    with unavailable(redis):
        entry_id = redis.xadd(stream, fields)
    return _text(entry_id)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
