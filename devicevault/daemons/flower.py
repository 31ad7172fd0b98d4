"""``devicevault-flower``: Flower, in this process, on DeviceVault's one Celery application.

Everything Flower needs is set in process: nothing secret ever stands in the process's arguments. It shows and
changes nothing: with ``read_only`` there is no button that stops a worker or revokes a task.
"""

from __future__ import annotations

import logging
import os
import signal
from ipaddress import ip_address
from types import FrameType
from typing import Any, Final

import click

from devicevault import rabbitmq
from devicevault.daemons.service import Progress, Watchdog, notify_ready, notify_stopping, run_daemon
from devicevault.errors import ConfigurationError, ExitCode, Fault, ServiceUnavailable
from devicevault.settings import Settings

logger = logging.getLogger(__name__)

HEARTBEAT_MS: Final = 1000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Show queues, workers and tasks in a web page; [flower] of the settings says where and to whom."""
    run_daemon("flower", serve)


def serve(settings: Settings) -> None:
    """Serve Flower until SIGTERM, which ends this process.

    Raises ConfigurationError without a password, ServiceUnavailable without a port.
    """
    options = flower_options(settings)
    flower = _application(settings, options)
    try:
        flower.start_http_server()
    except OSError as error:
        place = f"{settings.flower.address}:{settings.flower.port}"
        raise ServiceUnavailable(
            f"Flower can't listen on {place}: {error.strerror or error}", "choose another flower.address or flower.port"
        ) from None
    tell_what_is_missing(settings)
    _run(flower, f"serving http://{settings.flower.address}:{settings.flower.port}/ to user {settings.flower.user}")


def flower_options(settings: Settings) -> dict[str, Any]:
    """Flower's options for these settings. Raises ConfigurationError when no password is set."""
    password = settings.flower.password.get_secret_value()
    if not password:
        raise ConfigurationError(
            Fault(
                "settings",
                "is empty, and Flower would be open to everyone who reaches it",
                "set password in [flower] of config.toml, or DEVICEVAULT_FLOWER__PASSWORD",
                key="flower.password",
            )
        )
    return {
        "address": settings.flower.address,
        "port": settings.flower.port,
        "basic_auth": [f"{settings.flower.user}:{password}"],
        "broker_api": rabbitmq.with_slash(settings.broker_api) if settings.has_amqp_broker else None,
        "read_only": True,
    }


def tell_what_is_missing(settings: Settings) -> None:
    """Log what will not be seen, and what will be seen by more people than meant."""
    if settings.has_amqp_broker:
        try:
            rabbitmq.queues(settings.broker_api, rabbitmq.virtual_host_of(settings.broker_url))
        except ServiceUnavailable as error:
            logger.warning("the Broker page will show no queues: %s", error)
    if not _is_loopback(settings.flower.address):
        logger.warning(
            "Flower listens on %s: anyone there can read /metrics and /healthcheck without a password; "
            "keep flower.address on 127.0.0.1 behind a web server with TLS",
            settings.flower.address,
        )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _application(settings: Settings, options: dict[str, Any]) -> Any:
    # Flower reads tornado's global options in places: they are set, not only handed over.
    from flower.app import Flower
    from flower.options import default_options
    from flower.urls import settings as web_settings

    from devicevault.celery_app import app

    app.use(settings)
    for name, value in options.items():
        setattr(default_options, name, value)
    return Flower(capp=app, options=default_options, **web_settings)


def _tell_ready(status: str) -> None:
    logger.info("%s", status)
    notify_ready(status)


def _run(flower: Any, status: str) -> None:
    from tornado.ioloop import PeriodicCallback

    def stop(number: int, frame: FrameType | None) -> None:
        flower.io_loop.add_callback_from_signal(flower.stop)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    progress = Progress()
    heartbeat = PeriodicCallback(progress.made, HEARTBEAT_MS)
    heartbeat.start()
    with Watchdog.of(progress):
        # Once the loop turns, the port answers.
        flower.io_loop.add_callback(_tell_ready, status)
        flower.start()
        notify_stopping("stopping")
    logger.info("stopped")
    # Threads of Flower's may be asking a broker that is away, and Python would wait for each of them to give up.
    # There is nothing to save.
    logging.shutdown()
    os._exit(ExitCode.DONE)
