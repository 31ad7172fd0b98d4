"""``devicevault-consumer``: turns the stream of results into rows and history.

For each batch: read, write, commit, acknowledge, trim. While Redis or the database is away the consumer keeps
what it has in hand and tries again; what it had in hand when it was killed it finds again as pending.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Final

import click

from devicevault.daemons.intake import Intake, Told
from devicevault.daemons.patience import Patience, Stopped
from devicevault.daemons.reload import Reloader
from devicevault.daemons.rules import Rules
from devicevault.daemons.service import Progress, Watchdog, notify_stopping, run_daemon, settle, stop_on_signals
from devicevault.daemons.status import LiveStatus
from devicevault.messages import CollectResult
from devicevault.names import CONSUMER_CLIENT
from devicevault.outputs.background import Outputs
from devicevault.outputs.metrics import Metrics
from devicevault.outputs.metrics_server import MetricsServer
from devicevault.outputs.sampler import Sampler
from devicevault.settings import Settings, load_settings
from devicevault.store import Store, WriteReport, open_store
from devicevault.store.sweep import SWEEP_AT_ONCE, sweep
from devicevault.store.upgrade import upgrade_store
from devicevault.stream import ResultReader, connect_redis

logger = logging.getLogger(__name__)

#: Seconds without progress after which ``/healthz`` says so; the watchdog is more patient.
STILL_AFTER_S: Final = 60.0
#: Seconds between two looks, while no result comes, whether Redis needs room.
TIDY_S: Final = 5.0
#: Seconds between the beginnings of two batches while results come one by one: a transaction for several of them costs
#: hardly more than one for each.
TOGETHER_S: Final = 0.06
#: The same while so many come in a second, as during a run over many devices.
BUSY_TOGETHER_S: Final = 0.3
BUSY_PER_S: Final = 20.0
#: What a consumer can't change while it runs.
FIXED: Final = ("redis_url", "results_stream", "database_url", "consumer.name", "metrics.listen")


class Consumer:
    """One consumer of the stream; :meth:`run` returns after ``stop`` is set."""

    def __init__(
        self,
        open_database: Callable[[], Store],
        reader: ResultReader,
        rules: Rules,
        *,
        stop: Event,
        progress: Progress,
        stored: Told = lambda results, report: None,
    ) -> None:
        """``open_database`` is called until it succeeds."""
        self.status = LiveStatus(self._numbers)
        self._open_database = open_database
        self._reader = reader
        self._rules = rules
        self._stop = stop
        self._patience = Patience(stop, progress, self.status)
        self._intake = Intake(reader, rules, self._patience, stored)

    @property
    def trouble(self) -> str:
        """Why it can't work at the moment; empty when it can."""
        return self._patience.trouble

    def renew(self, rules: Rules) -> None:
        """From the next batch on, these instead of what it was made with. From any thread."""
        self._rules = self._intake.rules = rules
        self._reader.renew(rules.settings)

    def _numbers(self) -> str:
        intake = self._intake
        numbers = f"{intake.stored} stored, {intake.set_aside_count} set aside, lag {self._reader.lag}"
        return f"{numbers}; the last at {intake.last_at}" if intake.last_at else numbers

    def run(self) -> None:
        """Work until told to stop. Raises ConfigurationError when the database's schema does not fit."""
        try:
            with self._patience.insist(self._open_database) as store:
                self._patience.insist(self._reader.ensure_group)
                self._patience.trouble = ""
                self.status.doing = f"reading {self._reader.place} into {store.place}"
                self.status.tell_ready()
                logger.info("waiting for results in %s", self._reader.stream)
                self._work(store)
        except Stopped:
            logger.warning("stopped while a service was away; what is not stored yet stays in the stream")
        logger.info("stopped; %d results stored", self._intake.stored)

    def _work(self, store: Store) -> None:
        claim_at = sweep_at = 0.0
        began = float("-inf")
        while not self._stop.is_set():
            if time.monotonic() >= claim_at:
                self._claim()
                self._recover(store)
                claim_at = time.monotonic() + self._rules.settings.claim_idle_s
            entries = self._patience.insist(self._reader.read)
            if entries:
                before, began = began, time.monotonic()
                is_busy = len(entries) >= BUSY_PER_S * (began - before)
                self._intake.take(store, entries)
                self.status.tell()
                # The next ones are not to find these in memory.
                del entries
                if self._reader.has_caught_up:
                    self._stop.wait(began + (BUSY_TOGETHER_S if is_busy else TOGETHER_S) - time.monotonic())
            else:
                # Redis may have filled up since the last batch, by what is only kept to be looked at.
                self._intake.tidy(TIDY_S)
            if time.monotonic() >= sweep_at and self._is_all_stored():
                self._sweep(store)
                sweep_at = time.monotonic() + self._rules.settings.sweep_s

    def _is_all_stored(self) -> bool:
        """Whether no result of a row that waits may be in the stream, or in the hands of another consumer."""
        return self._reader.has_caught_up and not self._patience.insist(self._reader.in_others_hands)

    def _sweep(self, store: Store) -> None:
        """End rows nothing will end any more."""
        while not self._stop.is_set():
            ended = self._patience.insist(lambda: sweep(store, self._rules.waits, datetime.now(UTC)))
            for row in ended:
                fields = {"device": row.device, "task_id": row.task_id, "group": row.group, "run_id": row.run_id}
                logger.warning("%s: %s: %s", row.device, row.status, row.reason, extra=fields)
            if len(ended) < SWEEP_AT_ONCE:
                return

    def _claim(self) -> None:
        claimed = self._patience.insist(self._reader.claim)
        if claimed:
            logger.warning("took over %d results another consumer left unfinished", claimed)

    def _recover(self, store: Store) -> None:
        """Deal with entries this consumer was given before, one at a time: one of them may have ended it."""
        while not self._stop.is_set() and (found := self._patience.insist(self._reader.pending)) is not None:
            if found.deliveries >= self._rules.settings.max_deliveries:
                entry = self._patience.insist(partial(self._reader.look_at, found.id))
                if not self._intake.set_aside(store, entry, f"delivered {found.deliveries} times and never stored"):
                    return  # Redis has no room for it; what is new makes some.
                continue
            again = self._patience.insist(self._reader.read_pending)
            if again is not None:
                if not self._intake.take(store, [again]):
                    return
                self.status.tell()


def consumer_name(settings: Settings) -> str:
    """A name that stays the same through a restart, so that the consumer finds its pending entries again."""
    return settings.consumer.name or socket.gethostname()


def consume(settings: Settings) -> None:
    """Be the consumer until SIGTERM. Raises ConfigurationError for keys or a schema that do not fit."""
    stop = stop_on_signals()
    progress = Progress()
    metrics = Metrics()
    outputs = Outputs(settings)

    def stored(results: Sequence[CollectResult], report: WriteReport) -> None:
        metrics.stored(results, report)
        outputs.stored(results, report)

    redis = connect_redis(settings.redis_url, CONSUMER_CLIENT)
    consumer = Consumer(
        lambda: open_newest(settings.database_url),
        ResultReader(redis, settings.results_stream, consumer_name(settings), settings.consumer),
        Rules.from_settings(settings),
        stop=stop,
        progress=progress,
        stored=stored,
    )
    consumer.status.beside = lambda: outputs.trouble
    sampler = Sampler(metrics, settings)

    def renew(new: Settings) -> None:
        consumer.renew(Rules.from_settings(new))
        sampler.renew(new)
        outputs.renew(new)

    def trouble() -> str:
        return consumer.trouble or (progress.age_s > STILL_AFTER_S and f"no progress for {progress.age_s:.0f} s") or ""

    reloader = Reloader(settings, load_settings, renew, fixed=FIXED, status=consumer.status)
    with (
        Watchdog.of(progress),
        contextlib.closing(redis),
        MetricsServer(settings.metrics.listen, metrics.registry, trouble),
        sampler,
        outputs,
        reloader,
    ):
        settle()
        consumer.run()
    notify_stopping("stopped")


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
