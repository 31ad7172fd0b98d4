"""Ask every source, all at once, and settle for what is kept of those that give no good answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from devicevault.errors import Fault
from devicevault.inventory.sources import kept as disk
from devicevault.inventory.sources.declared import Source
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.kept import Kept
from devicevault.inventory.sources.text import Record
from devicevault.inventory.sources.told import tell_end, tell_trouble
from devicevault.tomlfile import dotted
from devicevault.wording import counted

logger = logging.getLogger(__name__)

#: So few devices may always go missing: where there are three, losing one is no sign of a broken source.
_FEW: Final = 5


@dataclass(frozen=True)
class Answer:
    """What counts as a source's answer."""

    source: Source
    #: By name: the device's table in the inventory.
    devices: dict[str, dict[str, Any]]
    #: What was good of it before: for a device whose table is at fault now.
    earlier: dict[str, dict[str, Any]]
    #: Records that name no device, or one twice.
    faults: tuple[Fault, ...] = ()
    #: When it was given, in seconds since 1970; 0 for never.
    answered_at: float = 0.0
    #: Why it is an earlier answer, or none at all; empty for one that is as it should be.
    trouble: str = ""
    fix: str = ""
    #: Whether it was given just now.
    is_new: bool = False
    #: Why what is kept can't be read; empty where it can, or where there is nothing.
    unreadable: str = ""

    @property
    def label(self) -> str:
        return f"sources.{self.source.name}"

    @property
    def told(self) -> str:
        """The trouble, and what is done about it."""
        if not self.answered_at:
            reason = (
                f"what is kept can't be read: {self.unreadable}" if self.unreadable else "nothing is kept from earlier"
            )
            return f"{self.trouble}; {reason}"
        at = datetime.fromtimestamp(self.answered_at, UTC)
        count = counted(len(self.devices), "device")
        return f"{self.trouble}; its last good answer, of {at:%Y-%m-%d %H:%M} UTC, is used ({count})"


def keep(answer: Answer, folder: Path, held: Mapping[str, dict[str, Any]]) -> str:
    """Keep a new answer for the day there is none, with the tables ``held`` in place of those at fault in it.

    Returns why that can't be, or an empty string.
    """
    if not answer.is_new:
        return ""
    devices = {**answer.devices, **held}
    return _save(folder, answer.source.name, Kept(answer.source.digest, answer.answered_at, devices))


def gather(
    sources: Sequence[Source], folder: Path, *, fresh: bool = False, accept: Collection[str] = ()
) -> list[Answer]:
    """An answer of each source, in their order. ``folder`` is where good answers are kept.

    With ``fresh``, sources are asked even where they were just now; the answers of those in ``accept`` are taken
    however small they are. Takes no longer than the slowest source may.
    """
    asking = [_Asking(source, folder, fresh=fresh, accepts=source.name in accept) for source in sources]
    for one in asking:
        one.start()
    return [one.answer() for one in asking]


class _Asking:
    """One source, asked by a thread of its own: name resolution and drivers know no time limit one could rely on."""

    def __init__(self, source: Source, folder: Path, *, fresh: bool, accepts: bool) -> None:
        self._source = source
        self._folder = folder
        self._fresh = fresh
        self._accepts = accepts
        self._kept, self._unreadable = _load(folder, source.name)
        self._records: list[Record] | None = None
        self._failure: SourceFailed | None = None
        self._until = 0.0
        # A daemon: where it hangs beyond its time, nobody waits for it at exit.
        self._thread = threading.Thread(target=self._ask, name=f"source {source.name}", daemon=True)

    def start(self) -> None:
        if not self._is_known_already():
            self._until = time.monotonic() + self._source.table.timeout_s
            self._thread.start()

    def answer(self) -> Answer:
        if not self._until:
            answer = self._from_kept(self._kept.problem, self._kept.fix)
            self._tell(answer)
            return answer
        # A moment more than the source's own limits, which tell better what was slow.
        self._thread.join(max(0.0, self._until - time.monotonic()) + 1)
        records, failure = self._records, self._failure
        if failure is not None:
            return self._failed(failure)
        if records is None:
            limit_s = self._source.table.timeout_s
            return self._failed(SourceFailed(f"no answer within {limit_s:g} s", "raise timeout_s when it is only slow"))
        return self._judged(records)

    def _ask(self) -> None:
        try:
            self._records = self._source.table.ask(self._source.folder)
        except SourceFailed as failed:
            self._failure = failed
        except Exception as error:  # a driver's own kind; a source must never end whoever asks it
            logger.debug("source %s", self._source.name, exc_info=True)
            self._failure = SourceFailed(f"it can't be asked: {type(error).__name__}")

    def _is_known_already(self) -> bool:
        kept = self._kept
        if self._fresh or self._accepts or not kept.is_answer:
            return False
        at, digest = (kept.failed_at, kept.failed_digest) if kept.failed_at else (kept.answered_at, kept.digest)
        return digest == self._source.digest and 0 <= time.time() - at < self._source.table.cache_s

    def _judged(self, records: list[Record]) -> Answer:
        devices, faults = _tables(self._source, records)
        before = len(self._kept.devices) if self._kept.digest == self._source.digest else 0
        lost = before - len(devices)
        limit = self._source.table.max_shrink
        is_small = limit < 1 and (not devices or lost > max(_FEW, limit * before))
        if before and is_small and not self._accepts:
            problem = f"it tells of {counted(len(devices), 'device')}, and told of {before}"
            return self._failed(
                SourceFailed(problem, f"if that is right: devicevault devices accept {self._source.name}")
            )
        if not self._fresh:
            tell_end(self._folder, self._source.name, len(devices), was_known=self._kept.failed_at > 0)
        return Answer(self._source, devices, self._kept.devices, tuple(faults), time.time(), is_new=True)

    def _failed(self, failure: SourceFailed) -> Answer:
        answer = self._from_kept(failure.problem, failure.fix)
        self._tell(answer)
        if self._kept.is_answer:
            failed = replace(
                self._kept,
                failed_at=time.time(),
                failed_digest=self._source.digest,
                problem=failure.problem,
                fix=failure.fix,
            )
            _save(self._folder, self._source.name, failed)
        return answer

    def _tell(self, answer: Answer) -> None:
        # Whoever asks anew tells a person itself; and where nothing is kept, the failure is told as an error.
        if answer.trouble and answer.answered_at and not self._fresh:
            tell_trouble(self._folder, self._source.name, answer.told)

    def _from_kept(self, problem: str, fix: str) -> Answer:
        kept = self._kept
        return Answer(
            self._source,
            kept.devices,
            kept.devices,
            answered_at=kept.answered_at,
            trouble=problem,
            fix=fix,
            unreadable=self._unreadable,
        )


def _load(folder: Path, source: str) -> tuple[Kept, str]:
    try:
        return disk.load(folder, source), ""
    except OSError as error:
        return Kept(), f"{folder}: {error.strerror or type(error).__name__}"


def _save(folder: Path, source: str, kept: Kept) -> str:
    try:
        disk.save(folder, source, kept)
    except OSError as error:
        # An operator outside the group, or a full disk: what was answered is used all the same.
        return f"{folder}: {error.strerror or type(error).__name__}"
    return ""


def _tables(source: Source, records: list[Record]) -> tuple[dict[str, dict[str, Any]], list[Fault]]:
    """The devices of an answer by their names; what has no name, or somebody else's, is a fault."""
    tables: dict[str, dict[str, Any]] = {}
    faults: list[Fault] = []
    label = f"sources.{source.name}"
    for number, record in enumerate(records, start=1):
        table = source.mapping.table(record)
        if table is None:
            continue
        name = table.pop("name", None)
        if not isinstance(name, str):
            identity = record.get("id", number)
            problem = "the record names no device" if name is None else f"{name!r} is no text that could be a name"
            faults.append(Fault(label, problem, "name it there", dotted((f"record {identity}", "name"))))
        elif name in tables:
            faults.append(
                Fault(label, "the source names this device twice", "remove or rename one there", dotted((name,)))
            )
        else:
            tables[name] = table
    return tables, faults
