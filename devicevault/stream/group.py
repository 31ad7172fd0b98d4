"""The consumer group of the stream of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from devicevault import names
from devicevault.stream.connection import unavailable


def ensure_group(redis: Redis, stream: str) -> None:
    """Make the stream and its consumer group, at the stream's beginning, unless they are there.

    Workers do it as well as consumers: a Redis that filled up before the first consumer came would refuse it the group,
    and nobody could ever make room. Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    # A Redis that is full refuses to make a group that is there already.
    if group_of(redis, stream) is not None:
        return
    with unavailable(redis):
        try:
            redis.xgroup_create(stream, names.CONSUMER_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def group_of(redis: Redis, stream: str) -> Mapping[str, Any] | None:
    """What ``XINFO GROUPS`` says of it. Raises :class:`~devicevault.errors.ServiceUnavailable`."""
    with unavailable(redis):
        try:
            groups: Any = redis.xinfo_groups(stream)
        except ResponseError as error:
            if not str(error).startswith("no such key"):
                raise
            return None
    ours = (names.CONSUMER_GROUP, names.CONSUMER_GROUP.encode())
    return next((group for group in groups if group["name"] in ours), None)
