"""One process of a worker, which mostly is its only one: collects the devices of one collector group.

``celery -A devicevault.daemons.worker worker -Q collector.group.dmz`` works as well, without systemd's part.
"""

from __future__ import annotations

import logging
import socket
import time
import warnings
from typing import Any, Final

import click
from amqp.exceptions import PreconditionFailed, ResourceLocked
from celery.apps.worker import Worker as CeleryWorker
from celery.apps.worker import install_worker_int_handler
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_shutting_down
from celery.worker import state
from redis import Redis

from devicevault import heartbeat, names, refusal
from devicevault.celery_app import app
from devicevault.collector.process import this_process
from devicevault.daemons import broker_watch
from devicevault.daemons.reload import Reloader
from devicevault.daemons.service import Progress, Watchdog, notify_status, notify_stopping, run_daemon, settle
from devicevault.daemons.share import Share
from devicevault.daemons.waiting import wait_for, wait_for_keys
from devicevault.daemons.worker_report import WorkerReport
from devicevault.errors import DeviceVaultError, ExitCode
from devicevault.own_processor import own_processor
from devicevault.queues import waiting_requests
from devicevault.settings import Settings, load_settings, mask_passwords
from devicevault.stream import unavailable

__all__ = ["app", "main"]

logger = logging.getLogger(__name__)

#: What a worker can't change while it runs.
FIXED: Final = (
    "broker_url",
    "result_backend",
    "redis_url",
    "worker.concurrency",
    "worker.own_processor",
    "worker.processes",
    "queue.type",
    "queue.redis_visibility_timeout_s",
)

TWIN: Final = (
    "the broker knows a worker of this group on this host already; let it be, or stop it first. "
    "If there is none, its connection broke off: the broker forgets it within minutes"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("group", default=names.DEFAULT_GROUP)
@click.option("--process", default=str(Share()), help="Which of the group's processes this is: NUMBER/COUNT.")
def main(group: str, process: str) -> None:
    """What a supervisor starts; people start `devicevault-worker`."""
    run_daemon(f"worker@{group}", lambda settings: work(settings, group, Share.read(process)))


def work(settings: Settings, group: str, share: Share = Share()) -> None:  # noqa: B008 - it is frozen
    """Runs a process of a worker until it is told to stop.

    Raises :class:`ConfigurationError`, and :class:`ServiceUnavailable` when Redis or the broker is away for too long.
    """
    with own_processor(settings.for_group(group).worker.own_processor):
        _work(settings, group, share)


def _work(settings: Settings, group: str, share: Share) -> None:
    app.use(settings.for_group(group))
    wait_for_keys(app.settings)
    worker = this_process.worker()
    total = app.settings.worker.concurrency
    concurrency = share.sessions(total)
    host = socket.gethostname()
    report = WorkerReport(lambda: this_process.worker().activity, supervised=share.of > 1)
    reloader = Reloader(
        app.settings,
        lambda: load_settings().for_group(group),
        this_process.renew,
        fixed=FIXED,
        status=report.status,
    )
    _wait_for_services(worker.redis)
    if share.number == 1:
        # Were there more or fewer processes before, their heartbeats would tell for a week that some are gone.
        heartbeat.forget(worker.redis, share.not_of_it(group, host))
    progress = Progress()
    place = mask_passwords(app.settings.broker_url)
    doing = f"collecting group {group} from {place}, {total} sessions at once"
    if share.of > 1:
        doing += f" in {share.of} processes"
    broker_watch.install(app, progress, report.status, doing)
    setup_logging.connect(_keep_logging, weak=False)
    # It is about pickle, which this application does not accept; a first try by hand is mostly done as root.
    warnings.simplefilter("ignore", SecurityWarning)
    celery_worker = GroupWorker(
        app=app,
        queues=[names.queue_for(group)],
        hostname=share.node(group, host),
        concurrency=concurrency,
        quiet=True,
        # Workers have nothing to tell each other, and asking costs a second at every start.
        without_mingle=True,
        without_gossip=True,
    )

    def draining(**_: Any) -> None:
        report.status.doing = f"stopping; sessions have {app.settings.worker.drain_s:g} s to finish"
        report.status.tell_stopping()

    worker_shutting_down.connect(draining, weak=False)
    settle()
    with Watchdog(_watch(progress, group, concurrency).is_alive), report, reloader:
        celery_worker.start()
    notify_stopping("stopped")
    worker.redis.close()
    if celery_worker.exitcode:
        raise DeviceVaultError("the worker ended with an error", "its last lines in the journal say which")


class GroupWorker(CeleryWorker):  # type: ignore[misc]  # Celery is untyped
    """Celery's worker, which leaves SIGHUP to us, and ends well when someone ends it by Ctrl-C."""

    def install_platform_tweaks(self, worker: Any) -> None:
        # As if it were on a terminal: otherwise Celery would execute the process anew at SIGHUP.
        self._isatty = True
        super().install_platform_tweaks(worker)
        install_worker_int_handler(worker, exitcode=ExitCode.DONE)


def _watch(progress: Progress, group: str, concurrency: int) -> broker_watch.BrokerWatch:
    queue = names.queue_for(group)

    def waiting() -> int:
        # What this process was given and its threads have not begun, and what no worker was given.
        given = len(state.reserved_requests) - len(state.active_requests)
        return max(0, given) or waiting_requests(app.settings, [queue])[queue]

    return broker_watch.BrokerWatch(
        progress, lambda: broker_watch.broker_answers(app), this_process.worker().activity, concurrency, waiting
    )


def _wait_for_services(redis: Redis) -> None:
    """A worker without Redis could neither lock nor publish; without a broker there is nothing to do."""

    def ask_redis() -> None:
        with unavailable(redis):
            redis.ping()

    ends_at = time.monotonic() + app.settings.worker.start_timeout_s
    notify_status("waiting for Redis")
    wait_for(ask_redis, "no task is taken before it answers", ends_at)
    notify_status("waiting for the broker")
    wait_for(lambda: broker_watch.ask_broker(app), "waiting for it", ends_at)


def _keep_logging(**_: Any) -> None:
    """Celery sets up no logging of its own where somebody listens to this signal."""
    # One line for each collection is enough, and the collector's own says more.
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for words in (_tell_of_a_twin, _tell_of_another_type):
        logging.getLogger("celery.worker").addFilter(words)


def _tell_of_a_twin(record: logging.LogRecord) -> bool:
    """Says in words what RabbitMQ means when it locks the second worker of one name out."""
    if record.exc_info and isinstance(record.exc_info[1], ResourceLocked):
        record.msg, record.args, record.exc_info = TWIN, (), None
    return True


def _tell_of_another_type(record: logging.LogRecord) -> bool:
    """Says in words that a queue is there and is not of the type the settings ask for."""
    if record.exc_info and isinstance(record.exc_info[1], PreconditionFailed):
        told = refusal.in_words(record.exc_info[1])
        record.msg, record.args, record.exc_info = "the broker refuses the queue: %s", (told,), None
    return True


if __name__ == "__main__":
    main()
