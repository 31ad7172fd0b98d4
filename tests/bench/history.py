"""A year of ten thousand devices: how long its questions take, and how large it is."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from devicevault.dispatch import queue_rows
from devicevault.inventory import load_inventory
from devicevault.messages import Artifact, CollectRequest, CollectResult
from devicevault.outputs.mirror.mirror import Mirror
from devicevault.settings import MirrorSettings
from devicevault.store import Store, open_store, write_results
from tests.bench.commands import Took, took
from tests.bench.farm import name_of
from tests.bench.figures import Part
from tests.bench.year import GROUPS, text_of, write_year
from tests.installation import BIN, Installation

SIZE_KB: Final = 20
BATCH: Final = 100


def measure(folder: Path, *, quick: bool, runs: int) -> Part:
    devices, days = (100, 30) if quick else (10_000, 365)
    part = Part(
        "history",
        "A year of history",
        "git and grep on the same texts",
        f"{devices} devices of {SIZE_KB} KB, {days} days, a backup of each every day, one in twenty changed, SQLite; "
        f"medians of {runs} runs of each command",
    )
    path = folder / "devicevault.db"
    vault = Installation(folder / "etc", "amqp://nobody.invalid//", "redis://nobody.invalid/1", f"sqlite:///{path}")
    vault.write_credentials('[credentials.lab]\nusername = "backup"\npassword = "correct horse"\n')
    vault.write_inventory(
        '[defaults]\ncredential = "lab"\nplatform = "cisco_ios"\n'
        + "".join(f"[groups.group-{number}]\n" for number in range(GROUPS))
        + "".join(
            f'[devices.{name_of(n)}]\naddress = "127.0.0.1"\ngroup = "group-{n % GROUPS}"\n' for n in range(devices)
        )
    )
    files = folder / "files"
    files.mkdir()
    with open_store(vault.database_url, migrate=True) as store:
        texts_mb = write_year(store, devices, days, SIZE_KB) / 1e6
        _settle(store)
        database_mb = path.stat().st_size / 1e6
        mirror = Mirror(MirrorSettings(enabled=True, path=folder / "mirror.git"))
        began = time.monotonic()
        mirror.rebuild(store)
        mirror_s = time.monotonic() - began
        mirror_mb = mirror.repository().size_bytes() / 1e6
        _ask(part, vault, folder, files, devices, days, runs)
        part.add("the texts of all revisions", texts_mb, "MB")
        part.add("the database, beside the texts", database_mb, "MB", other=texts_mb)
        part.add("the git mirror, beside the texts", mirror_mb, "MB", other=texts_mb)
        part.add("making the whole mirror anew", mirror_s, "s")
        grown, seconds = _growth(vault, store, path, devices, days)
        part.add("growth for each unchanged backup", grown, "bytes")
        part.add("writing a day without changes", devices / seconds, "results/s")
    return part


def _ask(part: Part, vault: Installation, folder: Path, files: Path, devices: int, days: int, runs: int) -> None:
    for number in range(devices):
        (files / name_of(number)).write_text(text_of(number, days, SIZE_KB))
    name = name_of(devices // 2)
    git = ["git", "--git-dir", str(folder / "mirror.git")]
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", "HEAD"], capture_output=True, text=True, check=True)
    file = next(line for line in listed.stdout.splitlines() if name in line)

    def ours(*words: str) -> Took:
        return took([BIN / "devicevault", *words], vault.environment, runs, exit_codes=(0, 1))

    def theirs(*command: str) -> Took:
        return took(command, vault.environment, runs, exit_codes=(0, 1))

    for what, mine, other in (
        ("status", ours("status"), None),
        (f"history {name}", ours("history", name), theirs(*git, "log", "--stat", "--", file)),
        (f"diff {name}", ours("diff", name), theirs(*git, "log", "-p", "-1", "--", file)),
        ("search, a word", ours("search", f"of {name} "), theirs("grep", "-rn", f"of {name} ", str(files))),
        (
            "search, an expression",
            ours("search", r"rack [0-9]*7[0-9]$ "),
            theirs("grep", "-rnE", r"rack [0-9]*7[0-9]$ ", str(files)),
        ),
    ):
        part.add(what, mine.seconds, "s", other=other.seconds if other else None)
        part.add(f"{what}: processor time", mine.cpu_s, "s", other=other.cpu_s if other else None)


def _growth(vault: Installation, store: Store, path: Path, devices: int, days: int) -> tuple[float, float]:
    """Bytes for each backup of one more day on which nothing changed, and seconds to write that day."""
    _, requests = queue_rows(
        list(load_inventory(vault.settings, {"cisco_ios"}, None)), settings=vault.settings, store=store, asked_by="t"
    )
    _settle(store)
    before = path.stat().st_size
    results = [_unchanged(request, days) for request in requests]
    began = time.monotonic()
    for start in range(0, devices, BATCH):
        write_results(store, results[start : start + BATCH])
    seconds = time.monotonic() - began
    _settle(store)
    return (path.stat().st_size - before) / devices, seconds


def _unchanged(request: CollectRequest, days: int) -> CollectResult:
    content = text_of(int(request.device[1:]), days, SIZE_KB)
    now = datetime.now(UTC)
    artifact = Artifact.of(content)
    known = ("task_id", "run_id", "task_identifier", "device_id", "device", "platform", "group")
    return CollectResult(
        **{name: getattr(request, name) for name in known},
        status="success",
        initiated_at=request.requested_at,
        started_at=now,
        artifacts=(artifact,),
    )


def _settle(store: Store) -> None:
    """Let all that was written be in the file."""
    # Outside of any transaction, as a checkpoint has to be.
    with contextlib.closing(sqlite3.connect(str(store.engine.url.database))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
