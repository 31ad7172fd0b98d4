"""The dead letters: entries the consumer could not store, with the reason, until a person decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from devicevault import names
from devicevault.errors import UsageError
from devicevault.stream.connection import unavailable
from devicevault.stream.entry import SCALAR_FIELDS, Entry

#: Entries read at a time: each may bear a whole configuration.
READ_AT_ONCE: Final = 10
REASON: Final = "dead_reason"
FORMER_ID: Final = "dead_entry_id"
_ID: Final = re.compile(r"\d{1,19}-\d{1,19}")
#: The last millisecond a date can tell; an entry added by hand may bear any number.
_LAST_MS: Final = 253_402_300_799_000
#: What may be shown of an entry. A text in it may hold a secret that no rule has hidden: that is why it is here.
SHOWN: Final = frozenset({*SCALAR_FIELDS, REASON, FORMER_ID})
SHOWN_MAX_CHARACTERS: Final = 500

#: Puts an entry back into the stream as a new one, without what was noted when it was set aside. All of it or nothing.
_RETRY: Final = f"""
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not found then return false end
local fields = {{}}
for at = 1, #found[2], 2 do
  if found[2][at] ~= '{REASON}' and found[2][at] ~= '{FORMER_ID}' then
    fields[#fields + 1] = found[2][at]
    fields[#fields + 1] = found[2][at + 1]
  end
end
if #fields == 0 then return false end
local id = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('XDEL', KEYS[1], ARGV[1])
return id
"""


@dataclass(frozen=True)
class DeadLetter:
    """One entry as it may be shown: what it says of itself, and how large the rest is."""

    id: str
    reason: str
    device: str
    task_id: str
    worker: str
    set_aside_at: datetime
    size: int
    #: Values of the fields that can be shown.
    fields: dict[str, str]
    #: Bytes of those that are not.
    hidden: dict[str, int]


class DeadLetters:
    """Look at, retry and drop dead letters. Every method raises ServiceUnavailable when Redis does not answer."""

    def __init__(self, redis: Redis, stream: str) -> None:
        """``stream`` is the stream of results the entries came from."""
        self.redis = redis
        self.stream = stream
        self.dead_stream = stream + names.DEAD_LETTER_SUFFIX
        self._retry = redis.register_script(_RETRY)

    def __len__(self) -> int:
        with unavailable(self.redis):
            found: Any = self.redis.xlen(self.dead_stream)
        return int(found)

    def newest_first(self) -> Iterator[DeadLetter]:
        """Every dead letter there is when it is asked for."""
        end = "+"
        while True:
            with unavailable(self.redis):
                found: Any = self.redis.xrevrange(self.dead_stream, max=end, count=READ_AT_ONCE)
            for entry_id, fields in found:
                yield _shown(Entry(_text(entry_id), fields))
            if len(found) < READ_AT_ONCE:
                return
            end = f"({_text(found[-1][0])}"

    def get(self, entry_id: str) -> DeadLetter:
        """One of them. Raises :class:`~devicevault.errors.UsageError` when there is none of this id."""
        with unavailable(self.redis):
            found: Any = self.redis.xrange(self.dead_stream, _checked(entry_id), entry_id, count=1)
        if not found:
            raise _unknown(entry_id)
        return _shown(Entry(_text(found[0][0]), found[0][1]))

    def retry(self, entry_id: str) -> str:
        """Put an entry back into the stream of results; tells its new id. Raises UsageError as :meth:`get` does."""
        with unavailable(self.redis):
            new_id: Any = self._retry(keys=[self.dead_stream, self.stream], args=[_checked(entry_id)])
        if not new_id:
            raise _unknown(entry_id)
        return _text(new_id)

    def expire(self, before: datetime, *, dry_run: bool = False) -> tuple[int, int]:
        """Delete those set aside before a time, oldest first, or only count them: how many, and their bytes."""
        start, end = "-", f"({int(before.timestamp() * 1000)}-0"
        count = size = 0
        while True:
            with unavailable(self.redis):
                found: Any = self.redis.xrange(self.dead_stream, start, end, count=READ_AT_ONCE)
                if found and not dry_run:
                    self.redis.xdel(self.dead_stream, *(entry_id for entry_id, _ in found))
            count += len(found)
            size += sum(Entry(_text(entry_id), fields).size for entry_id, fields in found)
            if len(found) < READ_AT_ONCE:
                return count, size
            start = f"({_text(found[-1][0])}"

    def drop(self, entry_id: str) -> None:
        """Delete an entry for good. Raises UsageError as :meth:`get` does."""
        with unavailable(self.redis):
            deleted: Any = self.redis.xdel(self.dead_stream, _checked(entry_id))
        if not deleted:
            raise _unknown(entry_id)


def _shown(entry: Entry) -> DeadLetter:
    known = {name.decode(errors="replace"): value for name, value in entry.fields.items()}
    return DeadLetter(
        id=entry.id,
        reason=entry.text(REASON) or "no reason told",
        device=entry.text("device"),
        task_id=entry.text("task_id"),
        worker=entry.text("worker"),
        set_aside_at=datetime.fromtimestamp(min(int(entry.id.partition("-")[0]), _LAST_MS) / 1000, UTC),
        size=entry.size,
        fields={name: entry.text(name)[:SHOWN_MAX_CHARACTERS] for name in known if name in SHOWN and known[name]},
        hidden={name: len(value) for name, value in known.items() if name not in SHOWN},
    )


def _checked(entry_id: str) -> str:
    """Redis would take ``-`` and ``+`` for the oldest and the newest."""
    if not _ID.fullmatch(entry_id):
        raise _unknown(entry_id)
    return entry_id


def _unknown(entry_id: str) -> UsageError:
    return UsageError(f"there is no dead letter {entry_id!r}", "see: devicevault deadletter list")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
