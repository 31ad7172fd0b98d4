"""Debian's own test of the installed package, run by autopkgtest."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.system.conftest import REPOSITORY
from tests.system.machine import Machine

#: The machine is the testbed: it may be broken, it is a whole one, and nobody needs it afterwards.
GRANTED = "isolation-machine,breaks-testbed"
SOURCE = "/root/source"


def test_debians_test_passes(machine: Machine, package: Path) -> None:
    """autopkgtest installs the package itself, from an archive that it makes of it."""
    shutil.copy(package, machine.path("/root"))
    shutil.copytree(REPOSITORY / "debian", machine.path(f"{SOURCE}/debian"), ignore=shutil.ignore_patterns("quick"))
    command = (
        "autopkgtest",
        "--no-built-binaries",
        f"--ignore-restrictions={GRANTED}",
        f"/root/{package.name}",
        SOURCE,
    )
    ended = machine.try_run(*command, "--", "null", within_s=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr + machine.journal_tail()
    assert [line.split() for line in ended.stdout.splitlines() if line.startswith("backup ")] == [["backup", "PASS"]]
