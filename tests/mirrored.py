"""A store with runs in it and a mirror of it, as the tests of the outputs need them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devicevault.messages import CollectRequest, CollectResult
from devicevault.outputs.mirror.mirror import Mirror
from devicevault.settings import ConsumerSettings, MirrorSettings
from devicevault.store import Store, WriteReport, open_run, queue_requests, write_results
from devicevault.store.rows import chunks
from tests.results import request, result

CONSUMERS_BATCH = ConsumerSettings().batch_entries


@dataclass
class Vault:
    """A store, and where its mirror is."""

    store: Store
    path: Path
    minutes: float = 0

    @property
    def settings(self) -> MirrorSettings:
        return MirrorSettings(enabled=True, path=self.path)

    @property
    def mirror(self) -> Mirror:
        return Mirror(self.settings)

    def ask(self, devices: Iterable[str], group: str = "dmz", **fields: Any) -> list[CollectRequest]:
        """A run that asks for these devices, a minute after the one before."""
        self.minutes += 1
        with self.store.session() as session:
            run_id = open_run(session, asked_by="ann")
            named = {"group": group, "run_id": run_id}
            requests = [
                request(minutes=self.minutes, **{"device_id": name, "device": name, **named, **fields})
                for name in devices
            ]
            queue_requests(session, run_id, requests)
        return requests

    def answer(
        self, requests: Iterable[CollectRequest], *texts: Any, status: str = "success", **fields: Any
    ) -> WriteReport:
        """Every request's result, with these texts."""
        results: list[CollectResult] = [result(one, status, *texts, **fields) for one in requests]
        whole = WriteReport()
        for some in chunks(results, CONSUMERS_BATCH):
            report = write_results(self.store, some)
            whole.written += report.written
            whole.changes += report.changes
            whole.suspects |= report.suspects
        return whole

    def run(
        self,
        devices: Iterable[str],
        *texts: Any,
        group: str = "dmz",
        names: dict[str, str] | None = None,
        **fields: Any,
    ) -> WriteReport:
        """A whole run; ``names`` are those of the request."""
        return self.answer(self.ask(devices, group, **(names or {})), *texts, **fields)

    def turn(self) -> None:
        self.mirror.turn(self.store)

    def git(self, *arguments: str) -> str:
        return git(self.path, *arguments)

    def files(self) -> dict[str, str]:
        """Every file of the mirror's newest commit with its text; none where there is no commit yet."""
        if not (self.path / "HEAD").exists() or not self.git("for-each-ref", "refs/heads/main"):
            return {}
        names = self.git("ls-tree", "-r", "-z", "--name-only", "main").split("\0")
        return {name: self.git("show", f"main:{name}") for name in names if name}

    def log(self, *options: str) -> list[str]:
        """The subjects of all commits, oldest first."""
        return self.git("log", "--reverse", "--format=%s", *options, "main").splitlines()


def git(repository: Path, *arguments: str) -> str:
    """What git says about a bare repository."""
    command = ["git", "--git-dir", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()
