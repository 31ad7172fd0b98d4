"""A Redis that Sentinel watches: each connection is made to whoever is the primary at that moment."""

from __future__ import annotations

from typing import Any, Final

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from devicevault.settings.sentinel import SentinelUrl, sentinel_url

#: Seconds for one sentinel to answer. A silent one is asked last the next time.
SENTINEL_TIMEOUT_S: Final = 2


class Sentinels(Sentinel):
    """The sentinels of one primary."""

    def __init__(self, url: SentinelUrl, options: dict[str, Any]) -> None:
        tls = {"ssl": True, **url.tls} if url.tls is not None else {}
        super().__init__(  # type: ignore[no-untyped-call]
            url.sentinels,
            sentinel_kwargs={
                "username": url.sentinel_username,
                "password": url.sentinel_password,
                "socket_timeout": SENTINEL_TIMEOUT_S,
                "socket_connect_timeout": SENTINEL_TIMEOUT_S,
                "retry": Retry(ExponentialBackoff(cap=1, base=0.05), 0),
                **tls,
            },
            db=url.database,
            username=url.username,
            password=url.password,
            **tls,
            **options,
        )
        self.url = url

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Where the primary is. Raises MasterNotFoundError in words of ours."""
        try:
            found: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            raise MasterNotFoundError(
                f"no sentinel tells of a primary that is up; see `redis-cli -p 26379 SENTINEL master {service_name}`"
            ) from None
        return found


def connect_by_sentinel(url: str, **options: Any) -> Redis:
    """A client of the primary, wherever it is. Raises :class:`ValueError` for a URL that can't be read."""
    told = sentinel_url(url)
    client: Redis = Sentinels(told, options).master_for(told.master)  # type: ignore[no-untyped-call]
    return client


def sentinels_of(redis: Redis) -> SentinelUrl | None:
    """Which sentinels watch over this client's server, if any."""
    pool = redis.connection_pool
    return pool.sentinel_manager.url if isinstance(pool, SentinelConnectionPool) else None
