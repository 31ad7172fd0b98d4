"""The connection to Redis: time limits on every answer, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, RedisError
from redis.retry import Retry

from devicevault.errors import ConfigurationError, Fault, ServiceFull, ServiceUnavailable
from devicevault.settings.masking import mask_passwords
from devicevault.settings.sentinel import is_sentinel
from devicevault.stream.sentinel import connect_by_sentinel, sentinels_of

#: Seconds to wait for an answer; a blocking read must ask for less.
ANSWER_TIMEOUT_S: Final = 10
CONNECT_TIMEOUT_S: Final = 5
RETRIES: Final = 2
#: Memory of each connection for reading answers: one that reads results, and one that is told whether it went well.
READ_BYTES: Final = 64 * 1024
READ_LITTLE_BYTES: Final = 4 * 1024


def connect_redis(url: str, client_name: str = "devicevault", *, read_bytes: int = READ_BYTES) -> Redis:
    """A client for ``url`` that connects when first used, known to Redis' ``CLIENT LIST`` by ``client_name``.

    Every connection of ours to Redis is made here, save the broker's own. Each reads ``read_bytes`` at a time, and
    keeps as much memory for it.

    Raises :class:`~devicevault.errors.ConfigurationError` for a URL it can't read.
    """
    try:
        connect = connect_by_sentinel if is_sentinel(url) else Redis.from_url
        return connect(
            url,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            health_check_interval=30,
            # Few and quick: whoever calls waits and tries again by itself, and tells that it does.
            retry=Retry(ExponentialBackoff(cap=1, base=0.05), RETRIES),
            client_name=client_name,
            socket_read_size=read_bytes,
        )
    except (ValueError, TypeError):
        raise ConfigurationError(
            Fault("redis_url", "is not the URL of a Redis server", "use redis://localhost:6379/1")
        ) from None


@contextmanager
def unavailable(redis: Redis) -> Iterator[None]:
    """Turn whatever Redis refuses or fails to answer into :class:`~devicevault.errors.ServiceUnavailable`."""
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        raise ServiceUnavailable(
            f"Redis at {place_of(redis)} refuses access: {_words(error)}", "correct user and password in redis_url"
        ) from None
    except OutOfMemoryError:
        raise ServiceFull(
            f"Redis at {place_of(redis)} is full",
            "see that devicevault-consumer runs and keeps up, or raise Redis' maxmemory",
        ) from None
    except RedisError as error:
        if str(error).startswith("NOREPLICAS"):
            raise ServiceUnavailable(
                f"Redis at {place_of(redis)} takes nothing while no replica follows it", "see that one runs"
            ) from None
        raise ServiceUnavailable(
            f"Redis at {place_of(redis)} does not serve: {_words(error)}",
            "see that it runs and that redis_url names it",
        ) from None


def place_of(redis: Redis) -> str:
    """Where this Redis is, without user and password."""
    if (sentinels := sentinels_of(redis)) is not None:
        return sentinels.place
    options = redis.connection_pool.connection_kwargs
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"


def _words(error: RedisError) -> str:
    return mask_passwords(str(error).strip().partition("\n")[0]) or type(error).__name__
