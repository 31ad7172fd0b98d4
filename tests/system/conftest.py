"""Machines for the tests, and the package that is installed on them.

``DEVICEVAULT_TEST_RELEASE`` is Debian's release, bookworm or trixie; ``DEVICEVAULT_TEST_DEB`` a package file to test
instead of the newest one in ``dist/``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.system.earlier import earlier
from tests.system.machine import Machine, booted, cannot_boot, prepared_root

REPOSITORY = Path(__file__).parents[2]
NUMBERS = {"bookworm": 12, "trixie": 13}
#: What boots machines, and Debian's package of it.
PROGRAMS = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "nsenter": "util-linux"}
# Read at once: tests run without any DEVICEVAULT_ variable.
RELEASE = os.environ.get("DEVICEVAULT_TEST_RELEASE", "bookworm")
PACKAGE = os.environ.get("DEVICEVAULT_TEST_DEB", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def release() -> str:
    """Debian's release on the machines."""
    if os.geteuid() != 0:
        missing("only root boots machines; run as root: make test")
    for program, debian in PROGRAMS.items():
        if shutil.which(program) is None:
            missing(f"{program} is not installed; apt-get install {debian}")
    if refusal := cannot_boot():
        missing(f"this host boots no machines, since root may not do everything here: {refusal}")
    return RELEASE


@pytest.fixture(scope="session")
def package(release: str) -> Path:
    """The package under test."""
    built = REPOSITORY.glob(f"dist/devicevault_*~deb{NUMBERS[release]}_amd64.deb")
    found = Path(PACKAGE) if PACKAGE else max(built, key=lambda file: file.stat().st_mtime, default=None)
    if found is None:
        missing(f"there is no package for {release} in dist/; run: make deb RELEASE={release}")
    return found


@pytest.fixture(scope="session")
def older_package(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it was before."""
    return earlier(package, tmp_path_factory.mktemp("older"))


@pytest.fixture(scope="session")
def root(release: str) -> Path:
    """The prepared root of the machines, kept between runs."""
    return prepared_root(release)


@pytest.fixture(scope="module")
def machine(root: Path) -> Iterator[Machine]:
    """A machine without DeviceVault, which the tests of one file share, in their order."""
    with booted(root, f"devicevault-{os.getpid()}") as running:
        yield running
