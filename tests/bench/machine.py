"""What the measurements ran on: their figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import devicevault
from tests.servers import newest_postgresql

LIBRARIES: Final = ("celery", "kombu", "netmiko", "paramiko", "redis", "SQLAlchemy", "psycopg", "asyncssh")
DEBIAN: Final = ("rabbitmq-server", "redis-server")


def machine() -> dict[str, str]:
    """Size of the machine and versions, in words."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{len(os.sched_getaffinity(0))} processors ({_processor()}), {_memory_gb():.0f} GB of memory",
        "system": f"{_release()}, Linux {_kernel()}",
        "python": platform.python_version(),
        "devicevault": f"{devicevault.__version__} {_commit()}".strip(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "servers": ", ".join([*(f"{name} {_package(name)}" for name in DEBIAN), _postgresql()]),
    }


def _processor() -> str:
    names = (line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    return " ".join(next(names, platform.machine()).split())


def _memory_gb() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def _kernel() -> str:
    # What follows tells who built it, of interest to nobody.
    return ".".join(platform.release().split(".")[:2])


def _release() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


def _commit() -> str:
    """The commit that was measured; the page into which the figures are written is no part of it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)docs/performance.md")
    return _git("describe", "--always") + ("-dirty" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip()


def _package(name: str) -> str:
    done = subprocess.run(["dpkg-query", "-Wf", "${Version}", name], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "of unknown version"


def _postgresql() -> str:
    done = subprocess.run([newest_postgresql() / "postgres", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()
