"""DeviceVault's package as it was at an earlier commit: what an upgrade comes from."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Final

from tests.system.machine import MachineError

REPOSITORY: Final = Path(__file__).parents[2]
#: Its database has the first schema of all.
COMMIT: Final = "88da30f5b968c4aa6b1ab9f025908b5e12d93af8"
VERSION: Final = "0.0.9"
#: What of it is taken.
PARTS: Final = ("devicevault", "systemd", "debian", "pyproject.toml")
SCRIPTS: Final = ("postinst", "postrm", "prerm")


def earlier(package: Path, folder: Path) -> Path:
    """DeviceVault, its units and its maintainer scripts of :data:`COMMIT`, among the dependencies of ``package``.

    Built as it was then, it would differ in nothing else that an upgrade could meet. A clone without that commit's
    history has the present state under an earlier version.
    """
    tree, source = folder / "tree", folder / "source"
    target = folder / f"devicevault_{VERSION}_amd64.deb"
    _run("dpkg-deb", "--raw-extract", package, tree)
    _check_out(source)
    (installed,) = tree.glob("usr/lib/devicevault/lib/python3.*/site-packages/devicevault")
    shutil.rmtree(installed)
    shutil.copytree(source / "devicevault", installed)
    _write_commands(source, tree / "usr/lib/devicevault/bin")
    for unit in (tree / "lib/systemd/system").iterdir():
        unit.unlink()
    for kind in ("service", "socket", "timer", "target"):
        for unit in (source / "systemd").glob(f"*.{kind}"):
            shutil.copy(unit, tree / "lib/systemd/system")
    shutil.copy(source / "debian/config.toml", tree / "etc/devicevault/config.toml")
    for script in SCRIPTS:
        text = (source / "debian" / script).read_text().replace("#DEBHELPER#", "")
        (tree / "DEBIAN" / script).write_text(text)
    _run("sed", "-i", f"s/^Version: .*/Version: {VERSION}/", tree / "DEBIAN/control")
    _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, target)
    shutil.rmtree(tree)
    return target


def _write_commands(source: Path, folder: Path) -> None:
    """Lets each command begin where it began then."""
    scripts = tomllib.loads((source / "pyproject.toml").read_text())["project"]["scripts"]
    for name, target in scripts.items():
        module, _, function = target.partition(":")
        text = (folder / name).read_text()
        (folder / name).write_text(
            re.sub(r"^from \S+ import \S+$", f"from {module} import {function}", text, flags=re.M)
        )


def _check_out(folder: Path) -> None:
    folder.mkdir()
    known = subprocess.run(["git", "-C", REPOSITORY, "cat-file", "-e", COMMIT], capture_output=True, check=False)
    commit = "HEAD" if known.returncode else COMMIT
    _run("git", "-C", REPOSITORY, "archive", f"--output={folder}.tar", commit, *PARTS)
    _run("tar", "--extract", "--directory", folder, f"--file={folder}.tar")


def _run(*command: str | Path) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise MachineError(f"{' '.join(map(str, command))}: {ended.stderr}")
