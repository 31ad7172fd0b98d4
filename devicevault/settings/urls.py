"""Checks of the URLs in the settings.

A message never repeats the URL: it may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from devicevault.settings.sentinel import is_sentinel, sentinel_url

AMQP_SCHEMES: Final = ("amqp", "amqps")
REDIS_SCHEMES: Final = ("redis", "rediss")
#: The same local socket has one name in kombu and another in redis-py.
BROKER_SOCKET_SCHEME: Final = "redis+socket"
REDIS_SOCKET_SCHEME: Final = "unix"
SQLITE_SCHEMES: Final = ("sqlite", "sqlite+pysqlite")
POSTGRESQL_SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg")

GIT_SCHEMES: Final = ("ssh", "https", "http", "git+ssh")
#: git's short form of an SSH address.
_SCP: Final = re.compile(r"(?:[\w.-]+@)?[\w.-]+:[^:-][^:]*")

_ESCAPE: Final = "write signs like / # ? @ : % of a user name or password as %2F %23 %3F %40 %3A %25"


def broker(value: str) -> str:
    """One AMQP or Redis URL, or several separated by ``;`` that are tried in turn."""
    for part in value.split(";"):
        _check_signs(part)
        if scheme(part) == BROKER_SOCKET_SCHEME:
            continue
        if is_sentinel(part):
            raise ValueError(
                "names Sentinel, which the broker can't be behind: requests could be lost with a primary; use RabbitMQ "
                "with quorum queues (docs/scaling.md), or write redis://HOST:6379/0"
            )
        url = _split(part, (*AMQP_SCHEMES, *REDIS_SCHEMES), "amqp://USER:PASSWORD@HOST:5672// or redis://HOST:6379/0")
        if url.scheme in REDIS_SCHEMES:
            _check_redis_database(url)
    return value


def result_backend(value: str) -> str:
    """Empty, or whatever Celery knows as a result backend, except the one Celery 5 dropped."""
    _check_signs(value)
    if value and ":" not in value:
        raise ValueError("is not a URL; leave it empty to follow the broker, or write one such as redis://HOST:6379/2")
    if scheme(value) in AMQP_SCHEMES:
        raise ValueError("Celery has no AMQP result backend any more; leave it empty, or write rpc://")
    return value


def http(value: str) -> str:
    """An HTTP address."""
    _check_signs(value)
    _split(value, ("http", "https"), "http://USER:PASSWORD@HOST:15672/api/")
    return value


def redis(value: str) -> str:
    """Redis over TCP, with or without TLS, over a local socket, or by Sentinel."""
    _check_signs(value)
    if is_sentinel(value):
        sentinel_url(value)
        return value
    if scheme(value) == REDIS_SOCKET_SCHEME:
        return value
    _check_redis_database(_split(value, REDIS_SCHEMES, "redis://HOST:6379/1"))
    return value


def git_remote(value: str) -> str:
    """Empty, or where git can push to, without a password."""
    if not value:
        return value
    _check_signs(value)
    place = "write it like ssh://git@HOST/PATH, git@HOST:PATH, https://HOST/PATH or /PATH"
    if "://" in value:
        url = _split(value, GIT_SCHEMES, "ssh://git@HOST/PATH") if scheme(value) != "file" else urlsplit(value)
        if url.password is not None:
            raise ValueError(
                "holds a password, which git would show in its arguments; take it out, and let git's credential helper "
                "know it (docs/git.md)"
            )
    elif not (value.startswith("/") or _SCP.fullmatch(value)):
        raise ValueError(f"is nothing git can push to; {place}")
    return value


def database(value: str) -> str:
    """SQLite in a file with an absolute path, or PostgreSQL."""
    _check_signs(value)
    if scheme(value) in SQLITE_SCHEMES:
        path = value.partition("://")[2].partition("?")[0]
        if not path.startswith("//"):
            raise ValueError(
                "must name a file by its absolute path, the same for every process; "
                "write four slashes: sqlite:////var/lib/devicevault/devicevault.db"
            )
        return value
    if scheme(value) not in POSTGRESQL_SCHEMES:
        raise ValueError(_expected("sqlite:////PATH/TO/FILE or postgresql://USER:PASSWORD@HOST:5432/DATABASE"))
    _parts(value, "postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    return value


def scheme(value: str) -> str:
    """What stands before ``://``, in small letters."""
    return value.partition(":")[0].lower()


def _split(value: str, schemes: Collection[str], example: str) -> SplitResult:
    if scheme(value) not in schemes or "://" not in value:
        raise ValueError(_expected(example))
    url = _parts(value, example)
    if not url.hostname:
        raise ValueError(f"names no host; write it like {example}")
    return url


def _check_signs(value: str) -> None:
    # urlsplit would take line ends out in silence, and the services' own libraries would not.
    if any(sign.isspace() or not sign.isprintable() for sign in value):
        raise ValueError(f"holds a space or a line end; {_ESCAPE} and a space as %20")


def _parts(value: str, example: str) -> SplitResult:
    try:
        url = urlsplit(value)
    except ValueError:
        raise ValueError(f"has an address in brackets that is none of IPv6; write it like {example}") from None
    try:
        _ = url.port
    except ValueError:
        raise ValueError(f"has a port that is no number from 0 to 65535; {_ESCAPE}") from None
    return url


def _check_redis_database(url: SplitResult) -> None:
    number = unquote(url.path).strip("/")
    if number and not number.isdecimal():
        raise ValueError("must end in the number of a Redis database, such as /1")


def _expected(example: str) -> str:
    return f"is not such a URL as is needed here; write it like {example}"
