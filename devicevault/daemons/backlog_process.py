"""A further process of a consumer, which stores results as long as many wait.

What it goes by comes in on standard input, and what it stored goes out on standard output, a line of JSON for each
batch; an empty line is a sign of life. It ends when it has caught up, or when its input does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import IO, Final

from devicevault.daemons.intake import Intake
from devicevault.daemons.journal import configure_logging, log_to_stderr
from devicevault.daemons.patience import Patience, Stopped
from devicevault.daemons.rules import Rules
from devicevault.daemons.service import Progress, settle, stop_on_signals, tell
from devicevault.daemons.status import LiveStatus
from devicevault.errors import DeviceVaultError
from devicevault.messages import CollectResult
from devicevault.names import CONSUMER_CLIENT
from devicevault.outputs.tally import Tally
from devicevault.settings import Settings
from devicevault.store import WriteReport, open_store
from devicevault.stream import ResultReader, connect_redis
from devicevault.stream.consumer_name import consumer_name

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
#: Seconds between two signs of life.
SIGN_S: Final = 5.0


class SignsOfLife(Progress):
    """Progress that is told to the consumer."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say
        self._due_at = 0.0

    def made(self, *, next_in_s: float = 0.0) -> None:
        super().made(next_in_s=next_in_s)
        if time.monotonic() >= self._due_at:
            self._say("")
            self._due_at = time.monotonic() + SIGN_S


def store_backlog(settings: Settings, number: int, stop: Event, say: Say) -> None:
    """Store results until none waits, or ``stop`` is set. Raises ConfigurationError for what does not fit."""
    rules = Rules.from_settings(settings)
    patience = Patience(stop, SignsOfLife(say), LiveStatus(str))

    def stored(results: Sequence[CollectResult], report: WriteReport) -> None:
        tally = Tally.of(results, report).to_json()
        say(json.dumps({"stored": intake.stored, "set_aside": intake.set_aside_count, "tally": tally}))

    with contextlib.closing(connect_redis(settings.redis_url, CONSUMER_CLIENT)) as redis:
        name = f"{consumer_name(settings)}#{number}"
        reader = ResultReader(redis, settings.results_stream, name, settings.consumer)
        intake = Intake(reader, rules, patience, stored)
        settle()
        with patience.insist(lambda: open_store(settings.database_url)) as store:
            while not stop.is_set():
                entries = patience.insist(reader.read)
                if entries:
                    intake.take(store, entries)
                if reader.has_caught_up:
                    return


def main() -> None:
    """For :class:`~devicevault.daemons.backlog.BacklogProcess` alone."""
    log_to_stderr()
    stop = stop_on_signals()
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Whatever else is printed is nothing the consumer could understand.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        # From the process that started this one, through a pipe nobody else has.
        settings: Settings = pickle.load(sys.stdin.buffer)  # noqa: S301
    except EOFError:
        return
    configure_logging(settings, "consumer")
    threading.Thread(target=_await_end_of_input, args=(stop,), name="input", daemon=True).start()
    try:
        store_backlog(settings, int(sys.argv[1]), stop, partial(_say, said, stop))
    except Stopped:
        pass
    except DeviceVaultError as error:
        tell(error)
        sys.exit(error.exit_code)


def _await_end_of_input(stop: Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()


def _say(said: IO[str], stop: Event, line: str) -> None:
    try:
        said.write(f"{line}\n")
        said.flush()
    except OSError:
        # The consumer is gone. What is in hand is finished all the same: it is no fault of the results.
        stop.set()


if __name__ == "__main__":
    main()
