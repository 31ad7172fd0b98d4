"""What the Debian package tells about DeviceVault, held against DeviceVault."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from devicevault import __version__
from devicevault.cli import COMMANDS, load_command
from devicevault.inventory.entry import DeviceEntry
from devicevault.settings import JumpSettings, Settings
from devicevault.settings.sources import keys_of, variable_of

REPOSITORY = Path(__file__).parents[2]
MAN = REPOSITORY / "packaging/man"
UNITS = REPOSITORY / "systemd"
HIGHEST_SCORE = 1.2


@pytest.fixture(scope="module")
def generate() -> dict[str, Any]:
    return runpy.run_path(str(MAN / "generate.py"))


def unescaped(page: str) -> str:
    return page.replace("\\-", "-").replace("\\e", "\\").replace("\\(dq", '"')


def test_the_manual_has_every_command_with_every_option(generate: dict[str, Any]) -> None:
    page = unescaped(generate["command_page"]())
    for name in COMMANDS:
        assert f".SS devicevault {name} " in page
        for parameter in load_command(name).params:
            if isinstance(parameter, click.Option):
                assert max(parameter.opts, key=len) in page


def test_the_manual_has_every_setting_with_its_variable(generate: dict[str, Any]) -> None:
    page = unescaped(generate["config_page"]())
    for key in keys_of(Settings):
        assert f"\\fB{key[-1]} = " in page
        assert f"Variable: {variable_of(key)}\n" in page
    jumps = page.partition(".SS [jumps.NAME]")[2].partition(".SS ")[0]
    assert re.findall(r"^\\fB(\w+) = ", jumps, re.MULTILINE) == list(JumpSettings.model_fields)


def test_the_manual_of_the_inventory_has_every_key() -> None:
    page = unescaped((MAN / "devicevault-devices.5").read_text())
    assert sorted(re.findall(r"^\.TP\n\.B (\S+)$", page, re.MULTILINE)) == sorted(DeviceEntry.model_fields)


def test_the_manual_of_the_daemons_has_every_unit() -> None:
    page = unescaped((MAN / "devicevault-worker@.service.8").read_text()).partition(".SH SYNOPSIS")[0]
    names = {name.strip(" ,") for name in re.findall(r"devicevault\S+", page.partition(".SH NAME")[2])}
    assert {unit.name for unit in UNITS.glob("devicevault*") if unit.is_file()} == names


def test_every_page_is_well_formed(generate: dict[str, Any], tmp_path: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("man is not installed: apt-get install man-db")
    generate["write"](tmp_path)
    for page in (*tmp_path.glob("*.[158]"), *MAN.glob("*.[158]")):
        shown = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, check=True)
        assert shown.stderr == ""


def test_the_package_is_of_this_release() -> None:
    first_line = (REPOSITORY / "debian/changelog").read_text().partition("\n")[0]
    # While the package is built, its version tells Debian's release too.
    assert re.match(rf"devicevault \({re.escape(__version__)}(~deb\d+)?\) ", first_line)


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (REPOSITORY / "packaging" / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["requirements-runtime.lock", "requirements-build.lock"])
def test_the_package_is_made_of_what_was_tested(lock: str) -> None:
    """Debian 12's Python 3.11.2 needs one package more than a newer one."""
    tested = pins("requirements.lock")
    packaged = pins(lock)
    packaged.pop("async-timeout", None)
    assert packaged.items() <= tested.items()


@pytest.mark.parametrize("lock", ["requirements-runtime.lock", "requirements-build.lock"])
def test_a_lock_names_no_place(lock: str) -> None:
    assert not re.search(r"://|--(index|find|trusted)|/", (REPOSITORY / "packaging" / lock).read_text())


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.glob("*.service")))
def test_each_service_is_closed_in(unit: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={HIGHEST_SCORE * 10:.0f}", UNITS / unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout
