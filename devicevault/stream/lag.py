"""How many results no consumer has read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from redis import Redis

from devicevault.stream.connection import unavailable
from devicevault.stream.group import group_of

_HIGHEST_ID: Final = "18446744073709551615-0"
#: ``XINFO STREAM`` would send the first and the last entry along, which may be large.
_LENGTH_AND_LAST: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, '0-0'} end
local told = redis.call('XINFO', 'STREAM', KEYS[1])
local last = '0-0'
for index = 1, #told, 2 do
  if told[index] == 'last-generated-id' then last = told[index + 1] end
end
return {redis.call('XLEN', KEYS[1]), last}
"""


def unread_results(redis: Redis, stream: str) -> int:
    """Entries of ``stream`` that were given to no consumer of the group; never more than there are.

    An account of its own, which every joined worker has, may not ask for the last id, since ``XINFO STREAM`` shows
    others' results as well: there Redis' own count decides, which is too high after some restarts.
    Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    last_id: Any = _HIGHEST_ID
    with unavailable(redis):
        if redis.connection_pool.connection_kwargs.get("username"):
            length: Any = redis.xlen(stream)
        else:
            told: Any = redis.eval(_LENGTH_AND_LAST, 1, stream)
            length, last_id = told
    return lag_of(int(length), last_id, group_of(redis, stream))


def lag_of(length: int, last_id: bytes | str, group: Mapping[str, Any] | None) -> int:
    """The same from a stream's length, its last id ever, and what ``XINFO GROUPS`` says."""
    if group is None:
        return length
    if _numbers(group["last-delivered-id"]) >= _numbers(last_id):
        return 0  # Redis' own count is off after some restarts.
    # An older Redis does not count, and one that entries were deleted from lost count.
    return length if group.get("lag") is None else min(length, int(group["lag"]))


def _numbers(entry_id: bytes | str) -> tuple[int, int]:
    milliseconds, _, sequence = (entry_id.decode() if isinstance(entry_id, bytes) else entry_id).partition("-")
    return int(milliseconds), int(sequence or 0)
