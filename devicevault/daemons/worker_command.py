"""``devicevault-worker GROUP``: collects the devices of one collector group, in one process or in several.

It imports neither Celery nor netmiko before it knows that it is the one process: a supervisor needs none of them.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import click

from devicevault import names
from devicevault.daemons.service import run_daemon
from devicevault.daemons.share import Share, processes_of
from devicevault.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds beside ``worker.start_timeout_s`` in which a process gets ready, or never.
START_ALLOWANCE_S: Final = 60.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("group", default=names.DEFAULT_GROUP)
def main(group: str) -> None:
    """Collect the devices of collector group GROUP, which is `default` when left out."""
    if not names.is_group_name(group):
        raise click.UsageError(
            f"{group!r} is not a group's name: lower-case letters, digits, and single - or _ between"
        )
    run_daemon(f"worker@{group}", lambda settings: collect_group(settings, group))


def collect_group(settings: Settings, group: str) -> None:
    """Runs the worker until it is told to stop, in as many processes as its settings say."""
    worker = settings.for_group(group).worker
    count = processes_of(worker)
    if count == 1:
        from devicevault.daemons.worker import work

        work(settings, group)
        return
    from devicevault.daemons.supervisor import Supervisor

    logger.info("Group %s: %d processes for %d sessions", group, count, worker.concurrency, extra={"group": group})
    shares = [Share(number, count) for number in range(1, count + 1)]
    supervisor = Supervisor(
        [command(group, share) for share in shares], ready_within_s=worker.start_timeout_s + START_ALLOWANCE_S
    )
    sys.exit(supervisor.run())


def command(group: str, share: Share) -> list[str]:
    """What starts one of several processes; ``-P``: no module is looked for in the folder it is started in."""
    return [sys.executable, "-P", "-m", "devicevault.daemons.worker", group, "--process", str(share)]
