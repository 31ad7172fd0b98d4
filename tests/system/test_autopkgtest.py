"""Debian's own test of the installed package, as autopkgtest runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.system.conftest import REPOSITORY
from tests.system.machine import Machine


def test_debians_test_passes(machine: Machine, package: Path) -> None:
    machine.install(package)
    shutil.copy(REPOSITORY / "debian/tests/backup", machine.path("/root/backup"))
    machine.run("sh", "/root/backup")
