"""The worker of this process: made once, at its first task or when the daemon starts."""

from __future__ import annotations

import threading
from typing import Final

from devicevault.celery_app import app
from devicevault.collector.worker import Worker
from devicevault.settings import Settings


class _ThisProcess:
    """The worker of this process, made at its first task or when the daemon starts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        with self._lock:
            if self._worker is None:
                self._worker = Worker.from_settings(app.settings)
            return self._worker

    def renew(self, settings: Settings) -> None:
        """From the next task on, these settings. Raises :class:`ConfigurationError`, and nothing has changed then."""
        with self._lock:
            if self._worker is not None:
                self._worker = self._worker.renewed(settings)
        app.renew(settings)

    def stop(self, drain_s: float) -> None:
        with self._lock:
            if self._worker is not None:
                self._worker.stop(drain_s)


this_process: Final = _ThisProcess()
