"""``devicevault demo`` as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

#: Everything a demo starts names its folder in its arguments, its environment or its working directory.
_FOLDER = "devicevault-demo-"


def start_demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.Popen(
        [sys.executable, "-m", "devicevault", "demo", *options],
        env={**environ, "TMPDIR": str(folder), "DEVICEVAULT_BROKER_URL": "amqp://not-the-demos/"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def devicevault(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devicevault", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def left_behind(folder: Path) -> list[str]:
    """Files under ``folder``, and processes that still have to do with it."""
    mark = os.fsencode(folder / _FOLDER)
    left = [str(path) for path in folder.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known_by = b"".join((process / name).read_bytes() for name in ("cmdline", "environ"))
            if mark in known_by or os.fsencode(process.joinpath("cwd").readlink()).startswith(mark):
                left.append(f"process {process.name}: {known_by[:100]!r}")
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return left


@pytest.mark.services
def test_the_demo_shows_success_failure_skipping_and_a_diff_and_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    told, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, told
    assert "12 devices: 12 success" in told
    assert "12 devices: 9 success, 2 failure, 1 skipped" in told
    assert re.search(r"^branch-rtr2 +vyos +failure .*unreachable: ", told, re.MULTILINE)
    assert re.search(r"^core-sw1 +cisco_nxos +skipped .*locked: ", told, re.MULTILINE)
    assert re.search(r"^dc-leaf1 +arista_eos +failure .*truncated: ", told, re.MULTILINE)
    assert "\n- transport input ssh\n+ transport input telnet ssh\n" in told
    assert "+username contractor privilege 15 secret 9 <secret hidden>" in told
    assert "no device was given a command that would change it" in told
    history = told.partition("$ devicevault history dc-leaf1\n")[2].partition("The last good backup")[0]
    assert len(re.findall(r"^\d+ +running ", history, re.MULTILINE)) == 1, "the truncated output became a revision"
    assert re.search(r"^2 +running .* night-shift$", told, re.MULTILINE), "who changed it"
    assert "\nvpn-fw1:131:username backup password <secret hidden>" in told, "the search"
    assert "secret is nowhere in access-sw1.cfg.sealed" in told
    assert "Now it is to be found in opened.cfg" in told
    assert left_behind(tmp_path) == []


@pytest.mark.services
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_ended_in_the_middle_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    demo = start_demo(tmp_path)
    assert demo.stdout is not None
    while line := demo.stdout.readline():
        if "collect --all --wait" in line:
            break
    os.killpg(demo.pid, number)
    os.kill(demo.pid, number)  # an impatient second time
    demo.communicate(timeout=120)
    assert demo.returncode == 130
    assert left_behind(tmp_path) == []


@pytest.mark.services
def test_a_demo_that_stays_ends_at_ctrl_c_as_a_success(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, "--stay")
    assert demo.stdout is not None
    told = ""
    while "Ctrl-C ends it." not in told:
        line = demo.stdout.readline()
        assert line, told
        told += line
    config = re.search(r"export DEVICEVAULT_CONFIG=(\S+)", told)
    assert config is not None
    environ = {**os.environ, "DEVICEVAULT_CONFIG": config.group(1)}
    checked = devicevault(environ, "doctor")
    assert checked.returncode == 0, checked.stdout
    assert "warning" not in checked.stdout
    shown = devicevault(environ, "collect", "--inline", "-v", "access-sw1")
    assert shown.returncode == 0, shown.stderr
    assert "> show running-config" in shown.stderr
    assert "1 device: 1 success" in shown.stdout
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=120)
    assert demo.returncode == 0
    assert left_behind(tmp_path) == []
