"""The Redis Stream of results, between the workers and the consumer."""

from __future__ import annotations

from devicevault.stream.connection import connect_redis, unavailable
from devicevault.stream.deadletters import DeadLetter, DeadLetters
from devicevault.stream.entry import Entry, decode, encode
from devicevault.stream.group import ensure_group
from devicevault.stream.lag import unread_results
from devicevault.stream.memory import memory_used
from devicevault.stream.publisher import publish
from devicevault.stream.reader import ResultReader

__all__ = [
    "DeadLetter",
    "DeadLetters",
    "Entry",
    "ResultReader",
    "connect_redis",
    "decode",
    "encode",
    "ensure_group",
    "memory_used",
    "publish",
    "unavailable",
    "unread_results",
]
