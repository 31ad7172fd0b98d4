"""The one Celery application: ``celery -A devicevault.celery_app worker -Q default,collector.group.dmz``.

Settings are loaded when they are first needed, so that importing this module works anywhere.
"""

from __future__ import annotations

import threading
from typing import Any

import click
from celery import Celery

from devicevault import names
from devicevault.errors import ConfigurationError, ExitCode
from devicevault.messages import CollectRequest
from devicevault.queues import BROKER_TIMEOUT_S, transport_options
from devicevault.settings import Settings, load_settings
from devicevault.tls import broker_tls, tls_of, without_tls_options


class Application(Celery):  # type: ignore[misc]  # Celery is untyped
    """Celery with DeviceVault's settings."""

    amqp_cls = "devicevault.declared_queues:DeclaredQueues"

    def __init__(self, *arguments: Any, **parameters: Any) -> None:
        super().__init__(*arguments, **parameters)
        self._own_settings: Settings | None = None
        self._own_lock = threading.Lock()

    @property
    def settings(self) -> Settings:
        """The settings in force. Raises :class:`~devicevault.errors.ConfigurationError` when they are wrong."""
        with self._own_lock:
            if self._own_settings is None:
                self._own_settings = load_settings()
            return self._own_settings

    def use(self, settings: Settings) -> None:
        """Takes these settings instead of loading them; whatever was configured before is forgotten."""
        with self._own_lock:
            self._own_settings = settings
        # What Celery made from the old ones, and then its configuration anew through on_configure.
        self.__dict__.pop("amqp", None)
        self._pool = None
        self.configured = False
        self._conf = None
        self._conf = self.conf

    def renew(self, settings: Settings) -> None:
        """Takes these settings while it runs; what Celery made from the old ones stays as it is."""
        with self._own_lock:
            self._own_settings = settings

    def on_configure(self) -> None:
        """Called by Celery when it needs its configuration for the first time."""
        try:
            settings = self.settings
        except ConfigurationError as error:
            context = click.get_current_context(silent=True)
            if context is not None and context.find_root().command.name == "celery":
                raise _Unconfigured(str(error)) from None
            raise
        if not settings.has_amqp_broker:
            from devicevault import redis_broker

            redis_broker.install()
        self.config_from_object(configuration(settings))


class _Unconfigured(click.ClickException):
    """Ends the ``celery`` command with the fault's own words instead of a traceback."""

    exit_code = ExitCode.CONFIGURATION


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for these settings."""
    return {
        "broker_url": without_tls_options(settings.broker_url),
        "broker_use_ssl": broker_tls(settings),
        "result_backend": without_tls_options(settings.result_backend_url),
        "redis_backend_use_ssl": tls_of(settings.result_backend_url),
        "imports": ("devicevault.collector.task",),
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "timezone": "UTC",
        # Queues: one per collector group, durable, their arguments fixed for ever.
        "task_default_queue": names.DEFAULT_QUEUE,
        "task_create_missing_queues": True,
        "task_queue_max_priority": names.QUEUE_MAX_PRIORITY if settings.queue.type == "classic" else None,
        # A task is acknowledged when its result is in the stream; a worker that dies gives it back.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 1,
        # After a reconnect Celery would let each thread that ends a task change the prefetch count and read the answer
        # from the one connection all threads share: they take each other's answers, and the worker stands still.
        "worker_enable_prefetch_count_reduction": False,
        # A session waits nearly all the time, so threads do; the deadline is the task's own.
        "worker_pool": "threads",
        "worker_concurrency": settings.worker.concurrency,
        "worker_consumer": "devicevault.collector.event_line:EventLineConsumer",
        "worker_send_task_events": True,
        # One message for each request: a word to Flower that it was sent would double them, and where RabbitMQ blocks
        # the connection Celery's dispatcher of events swallows the only word of it.
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # A broker that is away comes back some day; its absence never ends a worker.
        "broker_connection_timeout": BROKER_TIMEOUT_S,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that refuses to write, its memory or disk being full, is away as well. To RabbitMQ, which refuses a
        # queue of other arguments, asking again and again would be no answer.
        "broker_channel_error_retry": not settings.has_amqp_broker,
        "broker_transport_options": transport_options(settings),
    }


def message_options(request: CollectRequest, settings: Settings) -> dict[str, Any]:
    """How a request is sent: ``app.send_task(names.TASK_COLLECT, (request.to_wire(),), **message_options(...))``."""
    priority = request.priority
    if not settings.has_amqp_broker:
        # With Redis as broker, kombu takes 0 for the most urgent.
        priority = names.QUEUE_MAX_PRIORITY - priority
    return {"task_id": request.task_id, "queue": names.queue_for(request.group), "priority": priority}


app = Application("devicevault")
