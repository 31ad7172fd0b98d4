"""``devicevault-syslog``: devices that tell by syslog that they were changed are collected once they are quiet.

systemd hands its sockets over (``devicevault-syslog.socket``). Pending quiet periods live in memory only: at a stop,
everything that is waited for is asked for at once; a kill forgets it, and the schedule has the last word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import click

from devicevault.celery_app import app
from devicevault.daemons.reload import Reloader
from devicevault.daemons.service import Progress, Watchdog, notify_stopping, run_daemon, stop_on_signals
from devicevault.daemons.status import LiveStatus
from devicevault.errors import ConfigurationError, Fault
from devicevault.settings import Settings, load_settings
from devicevault.syslog.activation import bound, handed_over
from devicevault.syslog.asking import Asker
from devicevault.syslog.listener import Listener
from devicevault.syslog.quiet import QuietPeriods
from devicevault.syslog.roster import Roster
from devicevault.syslog.senders import Senders
from devicevault.syslog.watch import ChangeWatch

logger = logging.getLogger(__name__)

#: What it can't change while it runs.
FIXED: Final = ("broker_url", "database_url", "syslog.listen")


def listen(settings: Settings) -> None:
    """Listen until SIGTERM. Raises ConfigurationError for a wrong inventory, and where there is no socket."""
    sockets = handed_over() or (bound(settings.syslog.listen) if settings.syslog.listen else [])
    if not sockets:
        raise ConfigurationError(
            Fault(
                "devicevault-syslog",
                "there is no socket to listen at",
                "systemctl enable --now devicevault-syslog.socket; without systemd, set syslog.listen",
            )
        )
    stop = stop_on_signals()
    progress = Progress()
    app.use(settings)
    periods = QuietPeriods(settings.syslog.quiet_s, settings.syslog.max_wait_s)
    watch = ChangeWatch(periods)

    def took(senders: Senders) -> None:
        watch.senders = senders

    roster = Roster(settings, took)
    listener = Listener(sockets, watch, stop=stop, progress=progress)

    def numbers() -> str:
        counts = watch.counts
        return (
            f"{watch.senders.telling} devices that tell of changes; {counts.messages} messages, "
            f"{counts.unknown} of unknown senders, {counts.changes} of changes; "
            f"{len(periods)} devices to become quiet, {asker.asked} collections asked for"
        )

    status = LiveStatus(numbers)
    asker = Asker(settings, app, periods, lambda: watch.senders, turned=_telling(status, watch))
    status.beside = lambda: asker.trouble or roster.trouble
    status.doing = f"listening at {listener.places}"

    def renew(new: Settings) -> None:
        roster.renew(new)
        periods.quiet_s, periods.max_wait_s = new.syslog.quiet_s, new.syslog.max_wait_s
        asker.settings = new

    reloader = Reloader(settings, load_settings, renew, fixed=FIXED, status=status)
    with ExitStack() as stack:
        stack.enter_context(
            Watchdog(lambda interval_s: max(progress.age_s, asker.progress.age_s) < interval_s),
        )
        for part in (roster, asker, reloader):
            stack.enter_context(part)
        status.tell_ready()
        logger.info("%s", status.doing)
        listener.run()
        notify_stopping(f"asking for {len(periods)} changed devices")
    logger.info("stopped; %d collections asked for", asker.asked)


def _telling(status: LiveStatus, watch: ChangeWatch) -> Callable[[], None]:
    """Keeps the status line up to date, and tells of what was not taken."""
    told = ""

    def tell() -> None:
        nonlocal told
        if (line := status.line()) != told:
            told = line
            status.tell()
        watch.tell()

    return tell


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Collect devices that tell by syslog that they were changed, until told to stop."""
    run_daemon("syslog", listen)


if __name__ == "__main__":
    main()
