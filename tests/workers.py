"""Real workers for the tests: processes of their own, with a folder of their own for settings and credentials."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis

from devicevault import names
from devicevault.celery_app import Application, message_options
from devicevault.messages import CollectRequest, CollectResult
from devicevault.settings import Settings, load_settings
from devicevault.stream import Entry, decode
from tests.collecting import CREDENTIALS
from tests.servers import wait_until

BIN = Path(sys.executable).parent


@dataclass
class WorkerHost:
    """A host where workers run. Requests are sent and results read as the vault does it."""

    folder: Path
    broker_url: str
    redis_url: str
    extra: str = ""
    settings: Settings = field(init=False)
    app: Application = field(init=False)

    def __post_init__(self) -> None:
        self.credentials.write_text(CREDENTIALS)
        self.credentials.chmod(0o600)
        self.config.write_text(
            f'broker_url = "{self.broker_url}"\nredis_url = "{self.redis_url}"\n'
            f'credentials_file = "{self.credentials}"\n'
            f'[vault]\noriginals = "plain"\n[worker]\nconcurrency = 4\ndrain_s = 2\n{self.extra}'
        )
        self.settings = load_settings(self.config, {})
        self.app = Application("test")
        self.app.use(self.settings)
        self.redis = Redis.from_url(self.redis_url)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials.toml"

    @contextmanager
    def running(self, *command: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker's process, ended afterwards if it still runs; its output is in :meth:`log`."""
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env={**os.environ, "DEVICEVAULT_CONFIG": str(self.config), **environ},
                cwd=Path(__file__).parents[1],
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")

    def send(self, device: str, **fields: Any) -> CollectRequest:
        """Queues a request for a ``noop`` device, or whatever ``fields`` say."""
        request = CollectRequest(
            **{
                "task_id": str(uuid.uuid4()),
                "device_id": device,
                "device": device,
                "platform": "noop",
                "group": "dmz",
                "requested_at": datetime.now(UTC),
                **fields,
            }
        )
        options = message_options(request, self.settings)
        self.app.send_task(names.TASK_COLLECT, (request.to_wire(),), ignore_result=True, **options)
        return request

    def results(self, count: int, within_s: float = 30) -> list[CollectResult]:
        """The results in the stream, in their order, once there are at least this many different ones.

        A worker to which Redis' answer got lost puts the same entry into the stream again; another session's is never
        the same, since it began at another time.
        """
        wait_until(
            lambda: len(self._entries()) >= count,
            within_s,
            or_say=lambda: f"{len(self._entries())} of {count} results; the worker says:\n{self.log()}",
        )
        return [decode(entry) for entry in self._entries()]

    def _entries(self) -> list[Entry]:
        found: Any = self.redis.xrange(names.RESULTS_STREAM)
        different: dict[tuple[tuple[bytes, bytes], ...], Entry] = {}
        for entry_id, fields in found:
            different.setdefault(tuple(sorted(fields.items())), Entry(entry_id.decode(), fields))
        return list(different.values())

    def waiting(self, group: str = "dmz") -> int:
        """Requests in the group's queue that no worker holds."""
        with self.app.connection_for_read() as connection:
            channel = connection.default_channel
            try:
                return int(channel.queue_declare(names.queue_for(group), passive=True).message_count)
            except connection.channel_errors:
                return 0  # An empty queue is no key in Redis.

    def wait_for_lock(self, device: str) -> None:
        """Until a worker is collecting this device."""
        key = names.lock_for(device)
        wait_until(lambda: bool(self.redis.exists(key)), 30, or_say=self.log)


def stop(process: subprocess.Popen[bytes], within_s: float = 20) -> int:
    """Tells a worker to stop; its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(within_s)
