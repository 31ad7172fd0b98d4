"""The Celery task ``device.collect``: what it makes of a message, and when it gives one back."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from celery.exceptions import Reject
from celery.signals import worker_init, worker_shutting_down

import devicevault
from devicevault import names
from devicevault.celery_app import app
from devicevault.collector import consumption, pulse, quiet
from devicevault.collector.process import this_process
from devicevault.collector.worker import Worker
from devicevault.errors import CollectionError, CollectionInterrupted, ConfigurationError, ExitCode, MalformedMessage
from devicevault.messages import CollectRequest, CollectResult, Status

logger = logging.getLogger(__name__)

consumption.install(app, lambda: this_process.worker().holds)
pulse.install(this_process.worker)


@app.task(name=names.TASK_COLLECT, bind=True, acks_late=True, ignore_result=True, reject_on_worker_lost=True)  # type: ignore[untyped-decorator]  # Celery is untyped
def collect_device(task: Any, request: Any) -> dict[str, Any]:
    """Collects one device and publishes the result; returns a summary without configuration or secrets."""
    worker = this_process.worker()
    with worker.activity.task():
        return _collect(worker, str(task.request.id), request)


def _collect(worker: Worker, task_id: str, request: Any) -> dict[str, Any]:
    try:
        parsed = CollectRequest.from_wire(request)
    except MalformedMessage as error:
        result = _unreadable(request, task_id, worker, error)
        worker.publish(result)
        return summary(result)
    try:
        handled = worker.handle(parsed)
    except CollectionInterrupted as error:
        logger.info("%s: back to the queue: %s", parsed.device, error, extra={"device": parsed.device})
        raise Reject(str(error), requeue=True) from None
    return summary(handled) if handled else {"device": parsed.device, "status": "delivered twice"}


def _unreadable(request: Any, task_id: str, worker: Worker, error: MalformedMessage) -> CollectResult:
    """The result of a request that can't be read: its row must say so, since nothing else will."""
    told = request if isinstance(request, dict) else {}
    names_of_it = {name: str(told.get(name) or "unknown") for name in ("device_id", "device")}
    logger.error("Request %s can't be read: %s", task_id, error, extra={"task_id": task_id})
    return CollectResult(
        **names_of_it,
        task_id=task_id,
        run_id=str(told.get("run_id") or ""),
        status=Status.FAILURE,
        error=CollectionError.code,
        error_message=f"the worker can't read the request: {error}; run the same release on vault and workers",
        initiated_at=datetime.now(UTC),
        worker=worker.context.worker,
        worker_version=devicevault.__version__,
    )


def summary(result: CollectResult) -> dict[str, Any]:
    """What Flower and the worker's log show."""
    told: dict[str, Any] = {"device": result.device, "status": result.status}
    if result.error:
        told["error"] = result.error
    told["duration_ms"] = result.collection_duration_ms
    told["bytes"] = sum(artifact.size for artifact in result.artifacts)
    return told


@worker_init.connect  # type: ignore[untyped-decorator]
def prepare(**_: Any) -> None:
    """Finds what is wrong with credentials, platforms and keys before the first task comes, not with it."""
    quiet.install()
    try:
        this_process.worker()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(ExitCode.CONFIGURATION) from None


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def drain(how: str = "Warm", **_: Any) -> None:
    """Bounds how long a stopping worker waits for its sessions."""
    this_process.stop(app.settings.worker.drain_s if how == "Warm" else 0)
