"""Collect in this process, straight to the database: for trials, and for finding out why a device fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from devicevault.cli.console import errors, say
from devicevault.collector.collect import CollectorContext, collect, without_session
from devicevault.collector.deadline import interrupt_all
from devicevault.collector.seal import Sealer
from devicevault.credentials import CredentialStore
from devicevault.dispatch import queue_rows
from devicevault.errors import CollectionInterrupted
from devicevault.inventory import Device
from devicevault.messages import CollectRequest, CollectResult, Status
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.store import Store, open_store, reader, writer

if TYPE_CHECKING:
    from devicevault.store.reader import ResultSummary

#: Seconds between two times a session is told to end that was interrupted.
INTERRUPT_S: Final = 0.1
#: A reader of the session that is gone, or a full disk under it, costs what is shown, never a backup.
_UNREAD: Final = suppress(OSError)


def collect_inline(
    devices: Sequence[Device], settings: Settings, *, asked_by: str, verbose: bool
) -> list[ResultSummary]:
    """Collect the devices one after another and write what became of them; their rows, as a run's.

    Raises :class:`~devicevault.errors.ConfigurationError` when this host lacks what a worker has.
    """
    context = CollectorContext(
        settings=settings,
        credentials=CredentialStore.load(settings.credentials_file),
        platforms=Platforms.load(settings.platforms_dir),
        sealer=Sealer.from_settings(settings),
        transcript=_show if verbose else None,
    )
    # Without a handler, Python would print the collector's warnings between the lines; the results tell them anyway.
    logging.getLogger("devicevault").addHandler(logging.NullHandler())
    with open_store(settings.database_url, migrate=True) as store:
        run, requests = queue_rows(devices, settings=settings, store=store, asked_by=asked_by, kind="inline")
        _collect_all(requests, context, store)
        with store.reading() as session:
            return reader.run_results(session, run.run_id)


def _collect_all(requests: Sequence[CollectRequest], context: CollectorContext, store: Store) -> None:
    waiting = list(requests)
    try:
        while waiting:
            with _working_on(waiting[0].device, quiet=context.transcript is not None):
                result = _collected(waiting[0], context)
            writer.write_results(store, [result], suspect_shrink=context.settings.consumer.suspect_shrink)
            if context.transcript:
                _show_log(result)
            waiting.pop(0)
    except KeyboardInterrupt:
        writer.write_results(store, [_cancelled(request, context) for request in waiting])
        raise


def _collected(request: CollectRequest, context: CollectorContext) -> CollectResult:
    """Collects in a thread of its own: what interrupts this one must not hit SSH while it holds a lock."""
    with ThreadPoolExecutor(1) as pool:
        collecting = pool.submit(collect, request, context)
        try:
            return collecting.result()
        except KeyboardInterrupt:
            context.stopping.set()
            # More than once: it may just be beginning another attempt.
            while not wait([collecting], INTERRUPT_S).done:
                interrupt_all(CollectionInterrupted("interrupted"))
            raise


@contextmanager
def _working_on(device: str, *, quiet: bool) -> Iterator[None]:
    """A sign of life on a terminal while a session runs."""
    if quiet:
        yield
        return
    with errors().status(f"collecting {device}"):
        yield


def _cancelled(request: CollectRequest, context: CollectorContext) -> CollectResult:
    return without_session(request, context.worker, Status.CANCELLED, "", "interrupted by the person who asked for it")


def _show(kind: str, text: str) -> None:
    """One thing typed, or one answer, on stderr: the answer to the command itself belongs on stdout."""
    out = errors()
    with _UNREAD:
        if kind == "typed":
            out.print("> ", style="bold cyan", end="")
            out.print(text or "(return)", style="cyan", soft_wrap=True)
        else:
            out.print(text.rstrip("\n"), style="dim", soft_wrap=True)


def _show_log(result: CollectResult) -> None:
    styles = {"warning": "yellow", "error": "bold red"}
    with _UNREAD:
        for line in result.log:
            say(errors(), f"{line.severity}: {line.message}", styles.get(line.severity, ""))
