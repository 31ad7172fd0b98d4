"""How full a Redis is."""

from __future__ import annotations

from typing import Any

from redis import Redis

from devicevault.stream.connection import unavailable


def memory_used(redis: Redis) -> float:
    """Share of the memory Redis may use that it does use; of the host's memory where it has no ``maxmemory``.

    Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    with unavailable(redis):
        memory: Any = redis.info("memory")
    most = int(memory.get("maxmemory") or memory.get("total_system_memory") or 0)
    return int(memory["used_memory"]) / most if most else 0.0
