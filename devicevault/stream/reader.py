"""Read results as one consumer of the consumer group, and tidy up behind what is committed.

The order of things for each batch: read, write to the database, commit, :meth:`ResultReader.acknowledge`,
:meth:`ResultReader.trim`. A consumer that dies in between finds its entries again as its own pending ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

from devicevault import names
from devicevault.settings import ConsumerSettings
from devicevault.stream.connection import place_of, unavailable
from devicevault.stream.entry import Entry
from devicevault.stream.group import ensure_group
from devicevault.stream.lag import unread_results
from devicevault.stream.memory import memory_used

#: The first read of a batch asks for one entry and each further one for twice as many: large ones are noticed early.
LARGEST_READ: Final = 64
#: Pending entries that are looked at, and claimed, at a time.
CLAIM_AT_ONCE: Final = 100

#: Entries deleted at a time; Redis does nothing else meanwhile.
TRIM_AT_ONCE: Final = 1000
#: Share of Redis' memory in use from which on no committed entry is kept; workers stop at ``worker.max_redis_memory``.
LOW_MEMORY_SHARE: Final = 0.5
#: Seconds for which what is known of Redis' memory is good enough to acknowledge by.
LOOK_S: Final = 0.5
#: The largest id a stream can have.
_END: Final = f"{2**64 - 1}-{2**64 - 1}"

#: Deletes the oldest entries below an id, but never one of the newest ARGV[2]; at most ARGV[3] at a time.
_TRIM: Final = """
local last = false
local from = '-'
for _ = 1, math.min(redis.call('XLEN', KEYS[1]) - tonumber(ARGV[2]), tonumber(ARGV[3])) do
  local oldest = redis.call('XRANGE', KEYS[1], from, '(' .. ARGV[1], 'COUNT', 1)[1]
  if not oldest then break end
  last = oldest[1]
  from = '(' .. last
end
if not last then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', last) + redis.call('XDEL', KEYS[1], last)
"""

#: Adds a dead letter with the fields from ARGV[3] on and acknowledges entry ARGV[2], unless that was done before.
#: Where Redis has lost the consumer group meanwhile, it is added all the same.
_BURY: Final = """
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if not pending.err and #pending == 0 then return 0 end
local added = redis.pcall('XADD', KEYS[2], '*', unpack(ARGV, 3))
if type(added) == 'table' and added.err then return added end
redis.pcall('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


@dataclass(frozen=True)
class Pending:
    """An entry that was given to this consumer before and is not acknowledged."""

    id: str
    deliveries: int


class ResultReader:
    """One consumer of ``stream``. Every method raises ServiceUnavailable when Redis does not answer."""

    def __init__(self, redis: Redis, stream: str, consumer: str, settings: ConsumerSettings) -> None:
        self.redis = redis
        self.stream = stream
        self.dead_stream = stream + names.DEAD_LETTER_SUFFIX
        self.consumer = consumer
        #: Whether the last :meth:`read` took everything there was.
        self.has_caught_up = False
        #: Entries nobody has read, as of the last :meth:`trim`.
        self.lag = 0
        #: Whether committed entries are kept no longer, as of the last look.
        self.memory_runs_low = False
        self._looked_at = float("-inf")
        self._settings = settings
        self._trim = redis.register_script(_TRIM)
        self._bury = redis.register_script(_BURY)

    def renew(self, settings: ConsumerSettings) -> None:
        """From the next read on, these settings. From any thread."""
        self._settings = settings

    @property
    def place(self) -> str:
        """Where the stream is, in words without a password."""
        return f"{self.stream} on {place_of(self.redis)}"

    def ensure_group(self) -> None:
        """Make the stream and its consumer group, at the stream's beginning, unless they are there."""
        ensure_group(self.redis, self.stream)

    def read(self) -> list[Entry]:
        """The next batch of entries nobody has read, bounded in entries and bytes.

        Waits up to ``block_ms`` for the first one; an empty list means there was none.
        """
        batch: list[Entry] = []
        self.has_caught_up = False
        room = int(self._settings.batch_mb * 1024 * 1024)
        largest = 1
        count = 1
        while len(batch) < self._settings.batch_entries and room > 0:
            count = min(count, self._settings.batch_entries - len(batch), max(1, room // largest))
            entries = self._read(count, block_ms=None if batch else self._settings.block_ms)
            batch += entries
            room -= sum(entry.size for entry in entries)
            if len(entries) < count:
                self.has_caught_up = True
                break
            largest = max(largest, *(entry.size for entry in entries))
            count = min(count * 2, LARGEST_READ)
        return batch

    def pending(self) -> Pending | None:
        """The oldest entry this consumer was given and has not acknowledged."""
        found = self._call(
            lambda: self.redis.xpending_range(
                self.stream, names.CONSUMER_GROUP, "-", "+", 1, consumername=self.consumer
            )
        )
        return Pending(_text(found[0]["message_id"]), int(found[0]["times_delivered"])) if found else None

    def read_pending(self) -> Entry | None:
        """The same entry with its fields; reading it counts as one more delivery.

        One at a time: what made the last reader die then stands alone and is found out.
        """
        entries = self._read(1, start="0")
        return entries[0] if entries else None

    def look_at(self, entry_id: str) -> Entry:
        """An entry's fields, without counting a delivery; no fields when it was trimmed while pending."""
        with unavailable(self.redis):
            found: Any = self.redis.xrange(self.stream, entry_id, entry_id, count=1)
        return _entry(found[0]) if found else Entry(entry_id, {})

    def claim(self) -> int:
        """Take over all that other consumers left lying for ``claim_idle_s``; it becomes pending ones of this consumer.

        Tells how many there were.
        """
        idle_ms = int(self._settings.claim_idle_s * 1000)
        own = self.consumer.encode()
        claimed, begin = 0, "-"
        while found := self._pending_from(begin, idle_ms):
            left = [one["message_id"] for one in found if one["consumer"] != own]
            if left:
                self._call(partial(self._claim, idle_ms, left))
            claimed += len(left)
            begin = f"({_text(found[-1]['message_id'])}"
        return claimed

    def _pending_from(self, begin: str, idle_ms: int) -> list[dict[str, Any]]:
        """Some of the entries that were given to whomever so long ago, from the oldest on."""
        found: list[dict[str, Any]] = self._call(
            lambda: self.redis.xpending_range(
                self.stream, names.CONSUMER_GROUP, begin, "+", CLAIM_AT_ONCE, idle=idle_ms
            )
        )
        return found

    def _claim(self, idle_ms: int, ids: list[Any]) -> None:
        self.redis.xclaim(self.stream, names.CONSUMER_GROUP, self.consumer, idle_ms, ids, justid=True)

    def in_others_hands(self) -> int:
        """How many entries other consumers were given and have not acknowledged."""
        pending: Any = self._call(lambda: self.redis.xpending(self.stream, names.CONSUMER_GROUP))
        own = self.consumer.encode()
        return sum(int(one["pending"]) for one in pending["consumers"] if one["name"] != own)

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Tell Redis that these entries are committed; while its memory runs low, they are deleted at once."""
        if entries:
            ids = [entry.id for entry in entries]
            with unavailable(self.redis):
                self.redis.xack(self.stream, names.CONSUMER_GROUP, *ids)
                if time.monotonic() >= self._looked_at + LOOK_S:
                    self._look_at_memory()
                if self.memory_runs_low:
                    self.redis.xdel(self.stream, *ids)

    def dead_letter(self, entry: Entry, reason: str) -> None:
        """Set an entry aside in the dead-letter stream, with the reason, and acknowledge it, both or neither.

        Nothing happens where another consumer took it over and dealt with it.
        """
        fields: dict[bytes, bytes] = dict(entry.fields)
        fields[b"dead_reason"] = reason.encode("utf-8", errors="replace")
        fields[b"dead_entry_id"] = entry.id.encode()
        with unavailable(self.redis):
            self._bury(
                keys=[self.stream, self.dead_stream],
                args=[names.CONSUMER_GROUP, entry.id, *(one for field in fields.items() for one in field)],
            )

    def trim(self) -> int:
        """Delete committed entries but for the newest ``tail_entries`` of the stream; tell how many were deleted.

        Entries this consumer group has not read or not acknowledged are never touched. While Redis' memory runs low,
        no committed entry is kept: what is there to be looked at must not keep results out.
        """
        self._look_at_memory()
        tail_entries = 0 if self.memory_runs_low else self._settings.tail_entries
        with unavailable(self.redis):
            # In this order: what is read between the two questions is newer than the answer to the first.
            groups: Any = self.redis.xinfo_groups(self.stream)
            group: dict[str, Any] = next((one for one in groups if _text(one["name"]) == names.CONSUMER_GROUP), {})
            self.lag = unread_results(self.redis, self.stream)
            last_delivered = _text(group.get("last-delivered-id", "0-0"))
            pending: Any = self.redis.xpending(self.stream, names.CONSUMER_GROUP)
            oldest_pending = _text(pending["min"]) if pending["pending"] else None
            bound = min(_after(last_delivered), _numbers(oldest_pending or _END))
            deleted: Any = self._trim(keys=[self.stream], args=[f"{bound[0]}-{bound[1]}", tail_entries, TRIM_AT_ONCE])
        return int(deleted)

    def _look_at_memory(self) -> None:
        self.memory_runs_low = memory_used(self.redis) >= LOW_MEMORY_SHARE
        self._looked_at = time.monotonic()

    def _read(self, count: int, *, start: str = ">", block_ms: int | None = None) -> list[Entry]:
        answer = self._call(
            lambda: self.redis.xreadgroup(
                names.CONSUMER_GROUP, self.consumer, {self.stream: start}, count=count, block=block_ms
            )
        )
        return [_entry(found) for _, entries in answer or () for found in entries]

    def _call(self, question: Callable[[], Any]) -> Any:
        """The answer to ``question``, asked again once the group is there when Redis has lost it."""
        with unavailable(self.redis):
            try:
                return question()
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
            self.ensure_group()
            return question()


def _entry(found: tuple[bytes, Mapping[bytes, bytes] | None]) -> Entry:
    return Entry(_text(found[0]), found[1] or {})


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _numbers(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _after(entry_id: str) -> tuple[int, int]:
    milliseconds, sequence = _numbers(entry_id)
    return milliseconds, sequence + 1
