"""One URL for a Redis that Sentinel watches: ``sentinel://USER:PASSWORD@HOST:26379,HOST:26379/1?master=NAME``.

User and password are those of the Redis servers. ``sentinels://`` speaks TLS with servers and sentinels alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SENTINEL_SCHEMES: Final = ("sentinel", "sentinels")
PORT: Final = 26379
EXAMPLE: Final = "sentinel://HOST:26379,HOST:26379/1?master=NAME"
#: The parts of the query that are ours; the others, such as ``ssl_ca_certs``, are TLS'.
OWN: Final = ("master", "replicas", "sentinel_username", "sentinel_password")
TLS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
#: What ends the list of servers.
_SERVERS_END: Final = re.compile(r"[/?#]")


@dataclass(frozen=True)
class SentinelUrl:
    """What the URL says."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    database: int
    #: Replicas that must have a result before it counts as published.
    replicas: int
    username: str | None
    password: str | None
    sentinel_username: str | None
    sentinel_password: str | None
    tls: dict[str, str] | None

    @property
    def place(self) -> str:
        """Where it is, without users and passwords."""
        sentinels = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.sentinels)
        return f"{self.master}/{self.database} (Sentinel at {sentinels})"


def is_sentinel(url: str) -> bool:
    """Whether the URL names sentinels, not a server."""
    return url.partition(":")[0].lower() in SENTINEL_SCHEMES


def sentinel_url(url: str) -> SentinelUrl:
    """Raises :class:`ValueError` with the problem and, after a semicolon, the fix; neither repeats the URL."""
    login, places, parts = servers_in(url)
    username, _, password = login.partition(":")
    is_secure = parts.scheme.endswith("s")
    known = (*OWN, *TLS) if is_secure else OWN
    told = dict(parse_qsl(parts.query, keep_blank_values=True))
    if told.keys() - set(known):
        # Not said: it may be the end of a password with a question mark in it.
        raise ValueError(
            f"says something behind its question mark that is not known there; use {', '.join(known)}, "
            "and write a question mark of a password as %3F"
        )
    if not told.get("master"):
        raise ValueError(f"does not say which master; write it like {EXAMPLE}")
    number = unquote(parts.path).strip("/") or "0"
    if not number.isdecimal():
        raise ValueError("must end in the number of a Redis database, such as /1, before the question mark")
    if not told.get("replicas", "1").isdecimal():
        raise ValueError("has replicas that are no number; write replicas=1")
    return SentinelUrl(
        sentinels=tuple(_host_and_port(place) for place in places.split(",")),
        master=told["master"],
        database=int(number),
        replicas=int(told.get("replicas", "1")),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=told.get("sentinel_username") or None,
        sentinel_password=told.get("sentinel_password") or None,
        tls={name: told[name] for name in TLS if name in told} if is_secure else None,
    )


def servers_in(url: str) -> tuple[str, str, SplitResult]:
    """User and password as they stand in any URL, its servers with commas between them, and the URL without either.

    To newer Pythons, an address in brackets beside another one is no URL.
    """
    scheme, _, behind = url.partition("://")
    servers = _SERVERS_END.split(behind, maxsplit=1)[0]
    login, _, places = servers.rpartition("@")
    return login, places, urlsplit(f"{scheme}://{behind.removeprefix(servers)}")


def _host_and_port(place: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"has a sentinel's port that is no number from 0 to 65535; write it like {EXAMPLE}") from None
    if not host:
        raise ValueError(f"has a sentinel without a host; write it like {EXAMPLE}")
    return host, port or PORT
