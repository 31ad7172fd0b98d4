"""Find and delete entries of the stream that hold a secret no rule had hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

from devicevault import names
from devicevault.compression import beginning
from devicevault.leak import Leak
from devicevault.stream.connection import unavailable
from devicevault.stream.entry import DEFAULT_MAX_BYTES

#: Entries read at a time: each may bear a whole configuration.
READ_AT_ONCE: Final = 50


@dataclass(frozen=True)
class StreamScrubbed:
    """Entries that held the secret."""

    #: Done with: deleted, or to be deleted.
    deleted: int = 0
    #: Not stored yet.
    left: int = 0
    #: The ids of dead letters.
    dead: tuple[str, ...] = ()


def scrub_stream(redis: Redis, stream: str, leak: Leak, *, dry_run: bool) -> StreamScrubbed:
    """Delete the entries with the secret that the consumer has dealt with; tell those it has not, and dead letters.

    Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    with unavailable(redis):
        done, waiting = [], 0
        open_ids, read_up_to = _open(redis, stream)
        for entry_id in _holding(redis, stream, leak):
            if entry_id in open_ids or _number(entry_id) > read_up_to:
                waiting += 1
            else:
                done.append(entry_id)
        dead = tuple(entry_id.decode() for entry_id in _holding(redis, stream + names.DEAD_LETTER_SUFFIX, leak))
        if done and not dry_run:
            redis.xdel(stream, *done)
        return StreamScrubbed(len(done), waiting, dead)


def _holding(redis: Redis, stream: str, leak: Leak) -> list[bytes]:
    found: list[bytes] = []
    start = "-"
    while True:
        entries: Any = redis.xrange(stream, start, "+", count=READ_AT_ONCE)
        if not entries:
            return found
        found += [entry_id for entry_id, fields in entries if any(_has(value, leak) for value in fields.values())]
        start = "(" + entries[-1][0].decode()


def _has(value: bytes, leak: Leak) -> bool:
    if leak.is_in(value.decode(errors="replace")):
        return True
    return leak.is_in(beginning(value, DEFAULT_MAX_BYTES).decode(errors="replace"))


def _open(redis: Redis, stream: str) -> tuple[set[bytes], tuple[int, int]]:
    """What a consumer was given and has not acknowledged, and up to which entry they were given out."""
    try:
        groups: Any = redis.xinfo_groups(stream)
    except ResponseError:  # no such stream
        return set(), (0, 0)
    for group in groups:
        if group["name"] in (names.CONSUMER_GROUP, names.CONSUMER_GROUP.encode()):
            pending: Any = redis.xpending_range(stream, names.CONSUMER_GROUP, "-", "+", max(1, group["pending"]))
            return {one["message_id"] for one in pending}, _number(group["last-delivered-id"])
    return set(), (0, 0)


def _number(entry_id: bytes | str) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)
