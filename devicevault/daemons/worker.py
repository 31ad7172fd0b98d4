"""``devicevault-worker GROUP``: collects the devices of one collector group.

``celery -A devicevault.daemons.worker worker -Q collector.group.dmz`` works as well, without systemd's part.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import Any, Final

import click
from celery.signals import setup_logging

from devicevault import names
from devicevault.celery_app import app
from devicevault.collector.task import this_process
from devicevault.daemons import broker_watch
from devicevault.daemons.service import Progress, Watchdog, notify_status, notify_stopping, run_daemon
from devicevault.errors import DeviceVaultError, ServiceUnavailable
from devicevault.settings import Settings
from devicevault.stream import unavailable

__all__ = ["app", "main"]

logger = logging.getLogger(__name__)

REDIS_RETRY_S: Final = 3.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("group", default=names.DEFAULT_GROUP)
def main(group: str) -> None:
    """Collect the devices of collector group GROUP, which is `default` when left out."""
    if not names.is_group_name(group):
        raise click.UsageError(
            f"{group!r} is not a group's name: lower-case letters, digits, and single - or _ between"
        )
    run_daemon(f"worker@{group}", lambda settings: work(settings, group))


def work(settings: Settings, group: str) -> None:
    """Runs a worker until it is told to stop. Raises :class:`~devicevault.errors.ConfigurationError`."""
    app.use(settings.for_group(group))
    worker = this_process.worker()
    queue = names.queue_for(group)
    notify_status("waiting for Redis")
    _wait_for_redis()
    progress = Progress()
    concurrency = app.settings.worker.concurrency
    broker_watch.install(app, progress, f"collecting group {group} from queue {queue}, {concurrency} sessions at once")
    setup_logging.connect(_keep_logging, weak=False)
    celery_worker = app.Worker(
        queues=[queue],
        hostname=f"{group}@{socket.gethostname()}",
        quiet=True,
        # Workers have nothing to tell each other, and asking costs a second at every start.
        without_mingle=True,
        without_gossip=True,
    )
    watch = broker_watch.BrokerWatch(progress, lambda: broker_watch.broker_answers(app))
    notify_status("waiting for the broker")
    with Watchdog(watch.is_alive):
        celery_worker.start()
    notify_stopping("stopped")
    worker.redis.close()
    if celery_worker.exitcode:
        raise DeviceVaultError("the worker ended with an error", "its last lines in the journal say which")


def _wait_for_redis() -> None:
    """A worker without Redis could neither lock nor publish: it takes no task before Redis answers."""
    redis = this_process.worker().redis
    told = False
    while True:
        try:
            with unavailable(redis):
                redis.ping()
        except ServiceUnavailable as error:
            if not told:
                logger.warning("%s; no task is taken before it answers", error)
            told = True
            notify_status(f"waiting: {error}")
            time.sleep(REDIS_RETRY_S)
        else:
            return


def _keep_logging(**_: Any) -> None:
    """Celery sets up no logging of its own where somebody listens to this signal."""
    # One line for each collection is enough, and the collector's own says more.
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
