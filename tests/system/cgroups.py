"""A control group of its own for each machine: two systemd that share one remove each other's units.

The kernel's unified hierarchy is enough for a machine; where the host mounts systemd's older one beside it, a machine
uses both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Starts the rest of its arguments in the control groups whose ``cgroup.procs`` its first one lists.
ENTER = 'for procs in $0; do echo $$ >"$procs" || exit; done; exec "$@"'


@contextmanager
def own_cgroups(name: str) -> Iterator[list[str]]:
    """What to put before a command so that it runs in control groups of this name, gone with the ``with`` block."""
    made = [folder / name for folder in _current()]
    for folder in made:
        folder.mkdir()
    try:
        yield ["sh", "-c", ENTER, " ".join(str(folder / "cgroup.procs") for folder in made)]
    finally:
        for folder in made:
            _remove(folder)


def _current() -> list[Path]:
    """The folders of this process's control groups, in the hierarchies that systemd uses."""
    mounts = dict(_mounts())
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, hierarchy, path = line.split(":", 2)
        if hierarchy in mounts:
            found.append(mounts[hierarchy] / path.lstrip("/"))
    return found


def _mounts() -> Iterator[tuple[str, Path]]:
    """Where the hierarchies are mounted, by their name in ``/proc/self/cgroup``."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            yield "", Path(place)
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            yield "name=systemd", Path(place)


def _remove(folder: Path) -> None:
    """Only the folders can be removed, the innermost first; the kernel's files go with them."""
    for inner, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(inner).rmdir()
