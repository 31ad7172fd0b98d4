"""How many results no consumer has read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis

from devicevault.stream.connection import unavailable
from devicevault.stream.group import group_of


def unread_results(redis: Redis, stream: str) -> int:
    """Entries of ``stream`` that were given to no consumer of the group; never more than there are.

    Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    with unavailable(redis):
        if not redis.exists(stream):
            return 0
        told: Any = redis.xinfo_stream(stream)
    return lag_of(told, group_of(redis, stream))


def lag_of(stream: Mapping[str, Any], group: Mapping[str, Any] | None) -> int:
    """The same from what ``XINFO STREAM`` and ``XINFO GROUPS`` say."""
    length = int(stream["length"])
    if group is None:
        return length
    if _numbers(group["last-delivered-id"]) >= _numbers(stream["last-generated-id"]):
        return 0  # Redis' own count is off after some restarts.
    # An older Redis does not count, and one that entries were deleted from lost count.
    return length if group.get("lag") is None else min(length, int(group["lag"]))


def _numbers(entry_id: bytes | str) -> tuple[int, int]:
    milliseconds, _, sequence = (entry_id.decode() if isinstance(entry_id, bytes) else entry_id).partition("-")
    return int(milliseconds), int(sequence or 0)
