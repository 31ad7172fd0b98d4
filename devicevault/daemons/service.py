"""What every daemon owes systemd: ready when it can work, alive while it makes progress, stopped when told.

The protocol is sd_notify(3): one datagram for each state, to the socket named by ``$NOTIFY_SOCKET``.
Started by hand there is no such socket, and all of this is silent.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, NoReturn

import sdnotify

from devicevault.daemons.journal import configure_logging, log_to_stderr
from devicevault.errors import ConfigurationError, DeviceVaultError, ExitCode
from devicevault.settings import Settings, load_settings, mask_passwords

logger = logging.getLogger(__name__)

#: A notification is one datagram to PID 1 on the same host; a full socket must not hold a daemon up.
NOTIFY_TIMEOUT_S: Final = 1.0
#: Pings sent in one watchdog interval: systemd advises at least two.
PINGS_PER_INTERVAL: Final = 3
STATUS_MAX_CHARACTERS: Final = 500


def notify(*assignments: str) -> None:
    """Send ``KEY=value`` assignments to systemd in one datagram; nothing happens where systemd does not listen."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    # sdnotify encodes Latin-1 and systemd reads UTF-8: the bytes of the one pass through the other unchanged.
    datagram = "\n".join(assignments).encode().decode("latin-1")
    try:
        notifier = sdnotify.SystemdNotifier(debug=True)
        with notifier.socket as channel:
            channel.settimeout(NOTIFY_TIMEOUT_S)
            notifier.notify(datagram)
    except OSError as error:
        logger.debug("systemd was not told %s: %s", assignments[0], error)


def settle() -> None:
    """Take what is in memory now for there to stay: modules, settings, platform pages.

    The garbage collector looks at all there is only once a quarter as much has come since the last time. So it need not
    look at this again and again, and finds ended connections, which point to each other, before hundreds lie about.
    """
    gc.collect()
    gc.freeze()
    # It learns only by looking how little there is now.
    gc.collect()


def notify_ready(status: str, *more: str) -> None:
    """``READY=1``: the daemon can do its job from now on. ``status`` is shown by ``systemctl status``.

    ``more`` are further assignments, here and below.
    """
    notify("READY=1", _status(status), *more)


def notify_status(status: str, *more: str) -> None:
    """Change the line ``systemctl status`` shows."""
    notify(_status(status), *more)


def notify_stopping(status: str, *more: str) -> None:
    """``STOPPING=1``: the daemon finishes what it has begun and ends."""
    notify("STOPPING=1", _status(status), *more)


def notify_reloading() -> None:
    """``RELOADING=1``, with the time in the same datagram: the daemon reads its files anew, READY follows."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def _status(text: str) -> str:
    return "STATUS=" + mask_passwords(" ".join(text.split()))[:STATUS_MAX_CHARACTERS]


class Progress:
    """When a daemon's loop last got somewhere. The loop calls :meth:`made`; the watchdog asks :attr:`age_s`."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def made(self, *, next_in_s: float = 0.0) -> None:
        """The loop turned: it read, wrote, or waited for no longer than it meant to.

        Where it waits on purpose now, for ``next_in_s`` seconds, there is nothing to make before they are over.
        """
        self._last = time.monotonic() + next_in_s

    @property
    def age_s(self) -> float:
        """Seconds since the last progress."""
        return max(0.0, time.monotonic() - self._last)


class Watchdog:
    """Pings systemd's watchdog while ``is_alive`` says so, as long as the ``with`` block lasts.

    The interval is the unit's ``WatchdogSec=``. Without one (or started by hand) nothing runs. ``is_alive``
    gets the interval in seconds and must answer quickly; it is asked from a thread of its own.
    """

    def __init__(self, is_alive: Callable[[float], bool]) -> None:
        self._is_alive = is_alive
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, progress: Progress) -> Watchdog:
        """A watchdog fed by progress: it goes hungry once the last progress is an interval old."""
        return cls(lambda interval_s: progress.age_s < interval_s)

    def __enter__(self) -> Watchdog:
        interval_s = watchdog_interval_s()
        if interval_s:
            self._thread = threading.Thread(target=self._ping, args=(interval_s,), name="watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _ping(self, interval_s: float) -> None:
        was_alive = True
        while True:
            is_alive = self._is_alive(interval_s)
            if is_alive:
                notify("WATCHDOG=1")
            elif was_alive:
                logger.error("no progress for %.0f s: systemd's watchdog is not fed any more", interval_s)
            was_alive = is_alive
            if self._ended.wait(interval_s / PINGS_PER_INTERVAL):
                return


def watchdog_interval_s() -> float:
    """The unit's ``WatchdogSec=``; 0.0 when there is none or it is meant for another process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return max(int(os.environ.get("WATCHDOG_USEC", "0")), 0) / 1e6
    except ValueError:
        return 0.0


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. A second one ends the process at once. For the main thread only."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def run_daemon(name: str, body: Callable[[Settings], None]) -> NoReturn:
    """Load the settings, set logging up, run ``body`` and exit.

    What an operator can mend ends in one line for each fault in the journal, the same text in ``systemctl status``,
    and the exit code of its kind; never in a traceback.
    """
    log_to_stderr()
    try:
        settings = load_settings()
        configure_logging(settings, name)
        body(settings)
    except DeviceVaultError as error:
        tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        logger.info("interrupted")
        sys.exit(128 + signal.SIGINT)
    sys.exit(ExitCode.DONE)


def tell(error: DeviceVaultError) -> None:
    """Say an error in the journal and in ``systemctl status``."""
    lines = [str(fault) for fault in error.faults] if isinstance(error, ConfigurationError) else [str(error)]
    for line in lines:
        logger.critical("%s", line)
    notify_status(lines[0])
