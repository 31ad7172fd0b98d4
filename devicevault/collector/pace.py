"""How many sessions a group begins in one second, over all its workers: jump hosts and AAA servers are weak."""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

from redis import Redis

from devicevault import names
from devicevault.errors import CollectionInterrupted, ServiceUnavailable
from devicevault.settings.schema import TURN_MAX_S
from devicevault.stream import unavailable

logger = logging.getLogger(__name__)

#: Seconds before a task whose turn is too far off goes back to its queue.
GIVE_BACK_S: Final = 5.0
#: Takes the next turn by Redis' own clock; answers the microseconds until then, or -1 when that is too far off.
_TAKE_TURN: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
if turn - now > tonumber(ARGV[2]) then return -1 end
redis.call('SET', KEYS[1], string.format('%.0f', turn + ARGV[1]), 'PX', math.ceil((turn - now + ARGV[1]) / 1000) + 1000)
return turn - now
"""


class Pace:
    """Gives each session its turn. Thread-safe."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._take_turn = redis.register_script(_TAKE_TURN)

    def wait(self, group: str, per_s: float, stopping: threading.Event) -> None:
        """Returns when the group's next session may begin, of ``per_s`` a second; at once where that is 0.

        Raises :class:`CollectionInterrupted` when the worker is ``stopping`` meanwhile, or the turn is too far off.
        """
        if not per_s:
            return
        wait_s = self._turn_in(group, 1 / per_s)
        if stopping.wait(wait_s if wait_s >= 0 else GIVE_BACK_S):
            raise CollectionInterrupted("the worker is stopping")
        if wait_s < 0:
            raise CollectionInterrupted(f"group {group} may begin only {per_s:g} sessions a second, and many wait")

    def _turn_in(self, group: str, interval_s: float) -> float:
        """Seconds until this session's turn; negative when it has none."""
        try:
            with unavailable(self._redis):
                wait_us: Any = self._take_turn(
                    keys=[names.PACE_PREFIX + group], args=[int(interval_s * 1e6), int(TURN_MAX_S * 1e6)]
                )
        except ServiceUnavailable as error:
            logger.debug("no turn from Redis: %s", error)
            return interval_s
        return int(wait_us) / 1e6
