"""The demo starts daemons as systemd does: it believes READY=1, and tells a daemon's own last words when it fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from devicevault.demo.processes import Daemon
from devicevault.errors import ServiceUnavailable

READY_THEN_SLEEP = """
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
s.send(b"STATUS=starting")
s.send(b"READY=1")
time.sleep(60)
"""


def daemon(folder: Path, program: str) -> Daemon:
    return Daemon("worker", [sys.executable, "-c", program], folder, os.environ)


def test_a_daemon_is_ready_when_it_says_so_and_is_stopped_at_the_end(tmp_path: Path) -> None:
    with daemon(tmp_path, READY_THEN_SLEEP) as running:
        running.wait_until_ready()
        process = running._process
        assert process is not None
        assert process.poll() is None
    assert process.returncode == -15


def test_a_daemon_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = "import sys; print('\\n'.join(str(n) for n in range(50)), flush=True); sys.exit('no broker here')"
    with daemon(tmp_path, program) as failing, pytest.raises(ServiceUnavailable) as caught:
        failing.wait_until_ready()
    assert "the worker did not get ready" in str(caught.value)
    assert "no broker here" in str(caught.value)
    assert "\n3\n" not in str(caught.value)


def test_a_daemon_that_ignores_the_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devicevault.demo.processes.STOPPED_WITHIN_S", 0.2)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + READY_THEN_SLEEP
    with daemon(tmp_path, stubborn) as running:
        running.wait_until_ready()
        process = running._process
    assert process is not None
    assert process.returncode == -9
