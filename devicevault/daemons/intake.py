"""What becomes of entries that were read: rows and history, or dead letters that say why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from devicevault.daemons.patience import Patience, Stopped
from devicevault.daemons.rules import Rules
from devicevault.errors import MalformedMessage, ServiceFull, ServiceUnavailable
from devicevault.messages import CollectResult, Status
from devicevault.store import Store, WriteReport, mark_lost, write_results
from devicevault.stream import Entry, ResultReader, decode
from devicevault.stream.reader import TRIM_AT_ONCE

logger = logging.getLogger(__name__)

#: Texts in one transaction; what makes them more is one entry at most. Where all of them have changed, their lines are
#: counted within seconds: other writers wait meanwhile, and so does the watchdog.
TEXTS_AT_ONCE_BYTES: Final = 64 * 1024 * 1024
#: Seconds between two looks at what the stream no longer needs: each asks Redis six questions.
TRIM_S: Final = 0.5
#: Is told of every commit, and raises nothing.
Told = Callable[[Sequence[CollectResult], WriteReport], None]


@dataclass
class _Portion:
    """Entries that are dealt with together."""

    readable: list[tuple[Entry, CollectResult]] = field(default_factory=list)
    #: With the reason.
    unreadable: list[tuple[Entry, str]] = field(default_factory=list)
    #: Deleted before they were read.
    gone: list[Entry] = field(default_factory=list)
    #: Bytes of the texts.
    size: int = 0


class Intake:
    """Takes batches in, and counts what came of them."""

    def __init__(self, reader: ResultReader, rules: Rules, patience: Patience, tell_stored: Told) -> None:
        #: May be set anew at any time.
        self.rules = rules
        self.stored = self.set_aside_count = 0
        self.last_at = ""
        self._trimmed_at = float("-inf")
        self._reader = reader
        self._patience = patience
        self._tell_stored = tell_stored

    def take(self, store: Store, entries: Sequence[Entry]) -> bool:
        """Store a batch, acknowledge it, and see that the stream does not grow.

        False when Redis had no room for a dead letter: its entry is left pending, and the others go on.
        """
        is_done = [self._take_some(store, some) for some in self._portions(entries)]
        self.tidy(TRIM_S)
        self.last_at = time.strftime("%H:%M:%S")
        return all(is_done)

    def tidy(self, every_s: float) -> None:
        """Delete from the stream what is no longer needed there, unless that was done within ``every_s`` seconds."""
        if time.monotonic() < self._trimmed_at + every_s and not self._reader.memory_runs_low:
            return
        while self._patience.insist(self._reader.trim) >= TRIM_AT_ONCE:
            pass
        self._trimmed_at = time.monotonic()

    def _portions(self, entries: Sequence[Entry]) -> Iterator[_Portion]:
        """The entries decoded, all of them unless their texts would keep one transaction for long."""
        portion = _Portion()
        for entry in entries:
            if not entry.fields:
                logger.warning(
                    "entry %s was deleted from the stream before it was stored; its result is lost", entry.id
                )
                portion.gone.append(entry)
                continue
            try:
                result = self._decoded(entry)
            except MalformedMessage as error:
                portion.unreadable.append((entry, str(error)))
                continue
            portion.readable.append((entry, result))
            portion.size += sum(artifact.size for artifact in result.artifacts)
            if portion.size >= TEXTS_AT_ONCE_BYTES:
                yield portion
                portion = _Portion()
        yield portion

    def _take_some(self, store: Store, some: _Portion) -> bool:
        stored, unfit = self._write(store, some.readable)
        self._patience.insist(lambda: self._reader.acknowledge([*some.gone, *stored]))
        is_done = [self.set_aside(store, entry, reason) for entry, reason in [*some.unreadable, *unfit]]
        return all(is_done)

    def set_aside(self, store: Store, entry: Entry, reason: str) -> bool:
        """Make the entry a dead letter, and end its row so that nobody waits for it.

        False when Redis has no room for it: it stays pending.
        """
        task_id = entry.text("task_id")
        logger.error(
            "%s: result set aside in %s: %s",
            entry.text("device") or entry.id,
            self._reader.dead_stream,
            reason,
            extra={"device": entry.text("device"), "task_id": task_id},
        )
        if task_id:
            told = f"its result is kept in {self._reader.dead_stream}: {reason}"
            self._patience.insist(lambda: _end_row(store, task_id, told))
        if not self._patience.insist(lambda: self._buried(entry, reason)):
            return False
        self.set_aside_count += 1
        return True

    def _buried(self, entry: Entry, reason: str) -> bool:
        try:
            self._reader.dead_letter(entry, reason)
        except ServiceFull as error:
            # To wait for room here would keep everybody else from making it.
            logger.warning("%s has no room as a dead letter yet, and is left for later: %s", entry.id, error)
            return False
        return True

    def _decoded(self, entry: Entry) -> CollectResult:
        result = decode(entry, max_bytes=self.rules.max_bytes)
        for artifact in result.artifacts:
            if artifact.original and artifact.key_id not in self.rules.known_key_ids:
                raise MalformedMessage(
                    f"its original is sealed with key {artifact.key_id!r}, which is not this vault's",
                    f"copy vault.pub and vault.digest from here to worker {result.worker}",
                )
        return result

    def _write(
        self, store: Store, readable: Sequence[tuple[Entry, CollectResult]]
    ) -> tuple[list[Entry], list[tuple[Entry, str]]]:
        """Write results. The entries that are stored, and those the database can't hold with the reason.

        Where one of them can't be held nothing of the batch is stored: by halves, in their order, it is found out.
        """
        try:
            malformed = self._write_together(store, [result for _, result in readable])
        except (Stopped, ServiceUnavailable):
            raise
        except Exception:
            if len(readable) == 1:
                entry, result = readable[0]
                logger.exception("%s: this result can't be stored", result.device, extra=_fields(result))
                return [], [(entry, "the database can't hold it; the consumer's log tells more")]
        else:
            stored = [entry for place, (entry, _) in enumerate(readable) if place not in malformed]
            return stored, [(readable[place][0], reason) for place, reason in malformed.items()]
        # Only now: while an exception is dealt with, all that was in hand at the time stays in memory.
        middle = len(readable) // 2
        (stored, unfit), (more, others) = (self._write(store, half) for half in (readable[:middle], readable[middle:]))
        return stored + more, unfit + others

    def _write_together(self, store: Store, results: Sequence[CollectResult]) -> dict[int, str]:
        """Why some of them are malformed, by their places; all others are stored."""
        report = self._patience.insist(
            lambda: write_results(store, results, suspect_shrink=self.rules.settings.suspect_shrink)
        )
        self.stored += len(report.written)
        self._tell_stored(results, report)
        _log(results, report)
        return report.malformed


def _end_row(store: Store, task_id: str, reason: str) -> None:
    with store.session() as session:
        mark_lost(session, {task_id: reason})


def _log(results: Sequence[CollectResult], report: WriteReport) -> None:
    """One line for each row that got its status, and one for each change."""
    by_task = {result.task_id: result for result in results}
    for result in map(by_task.__getitem__, report.written):
        if reason := report.suspects.get(result.task_id):
            logger.warning("%s: %s: %s", result.device, Status.SUSPECT, reason, extra=_fields(result))
            continue
        severity = logging.INFO if result.status in (Status.SUCCESS, Status.SKIPPED) else logging.WARNING
        # On one line, whatever the device said.
        reason = f": {result.error}: {' '.join(result.error_message.split())}" if result.error else ""
        logger.log(severity, "%s: %s%s", result.device, result.status, reason, extra=_fields(result))
    for change in report.changes:
        logger.info(
            "%s: %s revision %d (%s, +%d -%d)",
            change.device,
            change.artifact,
            change.number,
            change.reason,
            change.added,
            change.removed,
            extra=_fields(by_task[change.task_id]),
        )


def _fields(result: CollectResult) -> dict[str, str]:
    return {
        "device": result.device,
        "task_id": result.task_id,
        "group": result.group,
        "run_id": result.run_id,
    }
