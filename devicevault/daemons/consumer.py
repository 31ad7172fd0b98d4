"""``devicevault-consumer``: turns the stream of results into rows and history.

For each batch: read, write, commit, acknowledge, trim. While Redis or the database is away the consumer keeps
what it has in hand and tries again; what it had in hand when it was killed it finds again as pending.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any, Final, TypeVar

import click

from devicevault.daemons.reload import Reloader
from devicevault.daemons.service import (
    Progress,
    Watchdog,
    notify_status,
    notify_stopping,
    run_daemon,
    stop_on_signals,
)
from devicevault.daemons.status import LiveStatus
from devicevault.errors import MalformedMessage, ServiceUnavailable
from devicevault.messages import CollectResult, Status
from devicevault.names import CONSUMER_CLIENT, DEFAULT_GROUP
from devicevault.outputs.metrics import Metrics
from devicevault.outputs.metrics_server import MetricsServer
from devicevault.outputs.sampler import Sampler
from devicevault.settings import ConsumerSettings, Settings, load_settings
from devicevault.store import Store, WriteReport, mark_lost, open_store, write_results
from devicevault.store.sweep import SWEEP_AT_ONCE, Waits, sweep
from devicevault.store.upgrade import upgrade_store
from devicevault.stream import Entry, ResultReader, connect_redis, decode
from devicevault.vault_keys import PUBLIC, known_key_ids, read_key

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0
#: Seconds without progress after which ``/healthz`` says so; the watchdog is more patient.
STILL_AFTER_S: Final = 60.0
#: What a consumer can't change while it runs.
FIXED: Final = ("redis_url", "results_stream", "database_url", "consumer.name", "metrics.listen")
#: A result may hold this many artifacts of the largest size a session brings home.
ARTIFACTS_OF_LARGEST_SIZE: Final = 4


class Stopped(Exception):  # noqa: N818 - not an error
    """Someone wants the consumer to end."""


class Consumer:
    """One consumer of the stream; :meth:`run` returns after ``stop`` is set."""

    def __init__(
        self,
        open_database: Callable[[], Store],
        reader: ResultReader,
        settings: ConsumerSettings,
        waits: Waits,
        *,
        known_key_ids: Collection[str],
        max_bytes: int,
        stop: Event,
        progress: Progress,
        stored: Callable[[Sequence[CollectResult], WriteReport], None] | None = None,
    ) -> None:
        """``open_database`` is called until it succeeds; an original sealed with a key that is not one of
        ``known_key_ids`` is not kept; ``max_bytes`` bounds the texts of one result; a queued row that outlived
        ``waits`` is ended; ``stored`` is told of every commit and raises nothing."""
        self.status = LiveStatus(self._numbers)
        #: Why it can't work at the moment; empty when it can.
        self.trouble = "starting"
        self._open_database = open_database
        self._reader = reader
        self._settings = settings
        self._waits = waits
        self._known_key_ids = frozenset(known_key_ids)
        self._max_bytes = max_bytes
        self._stop = stop
        self._progress = progress
        self._tell_stored = stored
        self._stored = self._set_aside_count = 0
        self._last_at = ""

    def renew(
        self, settings: ConsumerSettings, waits: Waits, *, known_key_ids: Collection[str], max_bytes: int
    ) -> None:
        """From the next batch on, these instead of what it was made with. From any thread."""
        self._settings = settings
        self._waits = waits
        self._known_key_ids = frozenset(known_key_ids)
        self._max_bytes = max_bytes
        self._reader.renew(settings)

    def _numbers(self) -> str:
        numbers = f"{self._stored} stored, {self._set_aside_count} set aside, lag {self._reader.lag}"
        return f"{numbers}; the last at {self._last_at}" if self._last_at else numbers

    def run(self) -> None:
        """Work until told to stop. Raises ConfigurationError when the database's schema does not fit."""
        try:
            with self._patiently(self._open_database) as self._store:
                self._patiently(self._reader.ensure_group)
                self.trouble = ""
                self.status.doing = f"reading {self._reader.place} into {self._store.place}"
                self.status.tell_ready()
                logger.info("waiting for results in %s", self._reader.stream)
                self._work()
        except Stopped:
            logger.warning("stopped while a service was away; what is not stored yet stays in the stream")
        logger.info("stopped; %d results stored", self._stored)

    def _work(self) -> None:
        claim_at = sweep_at = 0.0
        while not self._stop.is_set():
            if time.monotonic() >= claim_at:
                self._claim()
                self._recover()
                claim_at = time.monotonic() + self._settings.claim_idle_s
            entries = self._patiently(self._reader.read)
            if entries:
                self._take(entries)
            # Never before what is in the stream was read: the result of a row that waits may be there.
            if self._reader.has_caught_up and time.monotonic() >= sweep_at:
                self._sweep()
                sweep_at = time.monotonic() + self._settings.sweep_s

    def _sweep(self) -> None:
        """End rows nothing will end any more."""
        while not self._stop.is_set():
            ended = self._patiently(lambda: sweep(self._store, self._waits, datetime.now(UTC)))
            for row in ended:
                fields = {"device": row.device, "task_id": row.task_id, "group": row.group, "run_id": row.run_id}
                logger.warning("%s: %s: %s", row.device, row.status, row.reason, extra=fields)
            if len(ended) < SWEEP_AT_ONCE:
                return

    def _claim(self) -> None:
        claimed = self._patiently(self._reader.claim)
        if claimed:
            logger.warning("took over %d results another consumer left unfinished", claimed)

    def _recover(self) -> None:
        """Deal with entries this consumer was given before, one at a time: one of them may have ended it."""
        while not self._stop.is_set() and (found := self._patiently(self._reader.pending)) is not None:
            if found.deliveries >= self._settings.max_deliveries:
                entry = self._patiently(partial(self._reader.look_at, found.id))
                self._set_aside(entry, f"delivered {found.deliveries} times and never stored")
                continue
            again = self._patiently(self._reader.read_pending)
            if again is not None:
                self._take([again])

    def _take(self, entries: Sequence[Entry]) -> None:
        """Store a batch, acknowledge it, and delete from the stream what is no longer needed there."""
        readable: list[tuple[Entry, CollectResult]] = []
        gone: list[Entry] = []
        for entry in entries:
            if not entry.fields:
                logger.warning(
                    "entry %s was deleted from the stream before it was stored; its result is lost", entry.id
                )
                gone.append(entry)
                continue
            try:
                readable.append((entry, self._decoded(entry)))
            except MalformedMessage as error:
                self._set_aside(entry, str(error))
        stored = self._write(readable)
        self._patiently(lambda: self._reader.acknowledge([*gone, *stored]))
        self._patiently(self._reader.trim)
        self._last_at = time.strftime("%H:%M:%S")
        self.status.tell()

    def _decoded(self, entry: Entry) -> CollectResult:
        result = decode(entry, max_bytes=self._max_bytes)
        for artifact in result.artifacts:
            if artifact.original and artifact.key_id not in self._known_key_ids:
                raise MalformedMessage(
                    f"its original is sealed with key {artifact.key_id!r}, which is not this vault's",
                    f"copy vault.pub and vault.digest from here to worker {result.worker}",
                )
        return result

    def _write(self, readable: Sequence[tuple[Entry, CollectResult]]) -> list[Entry]:
        """Write results; those the database can't hold are set aside. The entries that are done with."""
        try:
            self._write_together([result for _, result in readable])
        except (Stopped, ServiceUnavailable):
            raise
        except Exception:
            if len(readable) == 1:
                entry, result = readable[0]
                logger.exception("%s: this result can't be stored", result.device, extra=_fields(result))
                self._set_aside(entry, "the database can't hold it; the consumer's log tells more")
                return []
            return [entry for one in readable for entry in self._write([one])]
        return [entry for entry, _ in readable]

    def _write_together(self, results: Sequence[CollectResult]) -> None:
        report = self._patiently(
            lambda: write_results(self._store, results, suspect_shrink=self._settings.suspect_shrink)
        )
        self._stored += len(report.written)
        if self._tell_stored is not None:
            self._tell_stored(results, report)
        _tell(results, report)

    def _set_aside(self, entry: Entry, reason: str) -> None:
        """Make the entry a dead letter, and end its row so that nobody waits for it."""
        task_id = entry.text("task_id")
        logger.error(
            "%s: result set aside in %s: %s",
            entry.text("device") or entry.id,
            self._reader.dead_stream,
            reason,
            extra={"device": entry.text("device"), "task_id": task_id},
        )
        if task_id:
            self._patiently(lambda: self._end_row(task_id, reason))
        self._patiently(lambda: self._reader.dead_letter(entry, reason))
        self._set_aside_count += 1

    def _end_row(self, task_id: str, reason: str) -> None:
        with self._store.session() as session:
            mark_lost(session, {task_id: f"its result is kept in {self._reader.dead_stream}: {reason}"})

    def _patiently(self, action: Callable[[], T]) -> T:
        """What ``action`` returns once the service it needs is there.

        Raises :class:`Stopped` where it would have to wait after ``stop`` is set: a batch in hand is finished first.
        """
        pause_s = FIRST_PAUSE_S
        told = ""
        while True:
            self._progress.made()
            try:
                answer = action()
            except ServiceUnavailable as error:
                if str(error) != told:
                    told = str(error)
                    logger.warning("%s; trying again", told)
                    self.trouble = told
                    notify_status(f"waiting: {told}")
                if self._stop.wait(pause_s):
                    raise Stopped from None
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            if told:
                logger.info("back at work after: %s", told)
                self.trouble = ""
                self.status.tell()
            return answer


def _tell(results: Sequence[CollectResult], report: WriteReport) -> None:
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


def consumer_name(settings: Settings) -> str:
    """A name that stays the same through a restart, so that the consumer finds its pending entries again."""
    return settings.consumer.name or socket.gethostname()


def consume(settings: Settings) -> None:
    """Be the consumer until SIGTERM. Raises ConfigurationError for keys or a schema that do not fit."""
    stop = stop_on_signals()
    progress = Progress()
    metrics = Metrics()
    redis = connect_redis(settings.redis_url, CONSUMER_CLIENT)
    consumer = Consumer(
        lambda: open_newest(settings.database_url),
        ResultReader(redis, settings.results_stream, consumer_name(settings), settings.consumer),
        **rules(settings),
        stop=stop,
        progress=progress,
        stored=metrics.stored,
    )
    sampler = Sampler(metrics, settings)

    def renew(new: Settings) -> None:
        consumer.renew(**rules(new))
        sampler.renew(new)

    def trouble() -> str:
        return consumer.trouble or (progress.age_s > STILL_AFTER_S and f"no progress for {progress.age_s:.0f} s") or ""

    reloader = Reloader(settings, load_settings, renew, fixed=FIXED, status=consumer.status)
    with (
        Watchdog.of(progress),
        contextlib.closing(redis),
        MetricsServer(settings.metrics.listen, metrics.registry, trouble),
        sampler,
        reloader,
    ):
        consumer.run()
    notify_stopping("stopped")


def rules(settings: Settings) -> dict[str, Any]:
    """What a consumer goes by, and may be told anew. Raises ConfigurationError for keys that can't be used."""
    if settings.vault.originals == "sealed":
        read_key(settings.vault.public_key, PUBLIC)  # without it every sealed original would be a stranger's
    artifact_mb = max(settings.for_group(group).ssh.max_artifact_mb for group in (DEFAULT_GROUP, *settings.groups))
    return {
        "settings": settings.consumer,
        "waits": Waits.from_settings(settings),
        "known_key_ids": known_key_ids(settings.vault),
        "max_bytes": int(artifact_mb * 1024 * 1024 * ARTIFACTS_OF_LARGEST_SIZE),
    }


def open_newest(database_url: str) -> Store:
    """The database, brought to this release's schema first. Raises what :func:`upgrade_store` does."""
    done = upgrade_store(database_url)
    if done.copy is not None:
        logger.warning("upgraded schema %s to %s; as it was: %s", done.before, done.after, done.copy)
    return open_store(database_url)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Write the workers' results from the stream into the database, until told to stop."""
    run_daemon("consumer", consume)


if __name__ == "__main__":
    main()
