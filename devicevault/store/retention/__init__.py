"""Delete what the settings keep no longer, in steps that can be interrupted anywhere.

Every step is a transaction of its own, and leaves nothing that the next run would not find again. A dry run goes the
same way and deletes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from devicevault.settings import RetentionSettings
from devicevault.store.engine import Store
from devicevault.store.retention import results, revisions
from devicevault.store.retention.tally import Amount, Kind, Tally, Tell
from devicevault.store.rows import chunks

__all__ = ["Amount", "Kind", "Tally", "Tell", "prune"]

#: Devices looked at in one transaction, and rows deleted in one.
DEVICES_AT_ONCE: Final = 100
ROWS_AT_ONCE: Final = 500
#: Seconds SQLite is left to others after each step, at most: it has one writer at a time, and no queue of them.
TURN_MAX_S: Final = 0.2


def _untold(_what: str, _done: int, _total: int) -> None:
    pass


def prune(
    store: Store, retention: RetentionSettings, now: datetime, *, dry_run: bool = False, tell: Tell = _untold
) -> Tally:
    """Delete what is older than ``retention`` keeps it; with ``dry_run`` only tell what that would be.

    Others read and write meanwhile. Raises :class:`~devicevault.errors.ServiceUnavailable`; what was deleted until
    then is gone, and the next run goes on.
    """
    return _Pruning(store, retention, now, dry_run=dry_run, tell=tell).run()


class _Pruning:
    def __init__(self, store: Store, retention: RetentionSettings, now: datetime, *, dry_run: bool, tell: Tell) -> None:
        self._store = store
        self._retention = retention
        self._now = now
        self._dry_run = dry_run
        self._tell = tell
        self._tally = Tally()

    def run(self) -> Tally:
        gone = results.Gone(freed=self._revisions())
        self._results(gone)
        self._runs(gone)
        return self._tally

    def _revisions(self) -> set[int]:
        """Thin out; in a dry run, the results that would be free to go then."""
        with self._store.reading() as session:
            devices = revisions.device_pks(session)
        going = []
        for start in range(0, len(devices), DEVICES_AT_ONCE):
            self._tell("revisions", start, len(devices))
            some = devices[start : start + DEVICES_AT_ONCE]
            with self._store.reading() as session:
                found = revisions.surplus_of(session, some, self._retention, self._now)
                if self._dry_run:
                    for ids in chunks(found.originals):
                        revisions.remove_originals(session, ids, self._tally, dry_run=True)
                    going += found.revisions
                    continue
            for ids in chunks(found.originals, ROWS_AT_ONCE):
                with self._step() as session:
                    revisions.remove_originals(session, ids, self._tally, dry_run=False)
            for rows in chunks(found.revisions, ROWS_AT_ONCE):
                with self._step() as session:
                    revisions.remove_revisions(session, rows, self._tally)
        with self._store.reading() as session:
            return revisions.count_revisions(session, going, self._tally)

    def _results(self, gone: results.Gone) -> None:
        with self._store.reading() as session:
            first, last = results.last_result(session)
        for start in range(first, last + 1, ROWS_AT_ONCE):
            self._tell("results", start - first, last + 1 - first)
            ids = range(start, start + ROWS_AT_ONCE)
            freed = {one for one in ids if one in gone.freed}
            with self._store.reading() as session:
                going = results.going_results(session, ids, self._retention, self._now, freed)
                logs = results.going_logs(session, ids, self._retention, self._now)
                logs = {one: size for one, size in logs.items() if one not in going}
                if self._dry_run:
                    results.count_results(session, going, gone, self._tally)
                    self._tally[Kind.LOGS].add(len(logs), sum(logs.values()))
                    continue
            if going or logs:
                with self._step() as session:
                    results.remove_results(session, going, self._tally)
                    results.remove_logs(session, logs, self._tally)

    def _runs(self, gone: results.Gone) -> None:
        after, is_first = "", True
        while after or is_first:
            is_first = False
            with self._store.reading() as session:
                run_ids, after = results.going_runs(session, after, ROWS_AT_ONCE, self._retention, self._now, gone)
            if self._dry_run:
                self._tally[Kind.RUNS].add(len(run_ids), len(run_ids) * results.RUN_BYTES)
            elif run_ids:
                with self._step() as session:
                    results.remove_runs(session, run_ids, self._tally)

    @contextmanager
    def _step(self) -> Iterator[Session]:
        """A writing transaction, after which others have their turn."""
        begun = time.monotonic()
        with self._store.session() as session:
            yield session
        if self._store.engine.dialect.name == "sqlite":
            time.sleep(min(time.monotonic() - begun, TURN_MAX_S))
