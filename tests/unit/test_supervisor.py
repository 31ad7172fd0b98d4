"""A supervisor of processes that do nothing but tell: what it makes of their endings, silences and words."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devicevault.daemons.notify_socket import NotifySocket
from devicevault.daemons.share import Share, processes_of
from devicevault.daemons.worker_state import FIELD, WorkerState, merged
from devicevault.settings import WorkerSettings
from tests.servers import wait_until
from tests.systemd import Listener, systemd

WITHIN_S = 60

#: A process as a supervisor knows it: `stub.py NUMBER FOLDER`. What it reads from FOLDER is what a file of settings
#: would be: `wrong` ends it with 78 before it is ready, `refused` lets it refuse a reload, `silent` starve.
STUB = """
import json, os, pathlib, signal, socket, sys, time
number, folder = sys.argv[1], pathlib.Path(sys.argv[2])
channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
channel.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
def tell(*told):
    channel.send("\\n".join(told).encode())
state = {"doing": "working", "in_flight": 1, "done": 2}
asked = []
signal.signal(signal.SIGHUP, lambda *_: asked.append("reload"))
signal.signal(signal.SIGTERM, lambda *_: asked.append("stop"))
(folder / f"{number}.pid").write_text(str(os.getpid()))
if (folder / "wrong").exists():
    tell("STATUS=the file is wrong")
    sys.exit(78)
def ready():
    tell("READY=1", "STATUS=working", "X_DEVICEVAULT_WORKER=" + json.dumps(state))
ready()
while True:
    time.sleep(0.02)
    if not (folder / f"silent{number}").exists():
        tell("WATCHDOG=1")
    while asked:
        if asked.pop() == "stop":
            sys.exit(0)
        with (folder / "reloads").open("a") as reloads:
            reloads.write(number)
        tell("RELOADING=1")
        state["trouble"] = "line 7" if (folder / "refused").exists() else ""
        ready()
"""

SUPERVISOR = """
import sys
from devicevault.daemons.supervisor import Supervisor
stub, folder = sys.argv[1:]
commands = [[sys.executable, "-S", stub, str(number), folder] for number in (1, 2)]
sys.exit(Supervisor(commands, ready_within_s=60).run())
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with systemd(tmp_path) as listening:
        yield listening


@contextmanager
def supervisor(folder: Path, listener: Listener, **environ: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "stub.py").write_text(STUB)
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder / "stub.py"), str(folder)],
        env={**os.environ, "NOTIFY_SOCKET": str(listener.path), **environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pid_of(folder: Path, number: int) -> int:
    return int((folder / f"{number}.pid").read_text())


def test_all_are_told_as_one_and_stop_as_one(tmp_path: Path, listener: Listener) -> None:
    with supervisor(tmp_path, listener) as worker:
        assert (
            listener.wait_for("READY=1", WITHIN_S) == "READY=1\nSTATUS=working: 2 in flight, 0 stuck, 4 done, 0 failed"
        )
        worker.send_signal(signal.SIGTERM)
        listener.wait_for("STOPPING=1", WITHIN_S)
        assert worker.wait(WITHIN_S) == 0


def test_one_that_ends_is_started_again_and_what_it_did_still_counts(tmp_path: Path, listener: Listener) -> None:
    with supervisor(tmp_path, listener) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        spared = pid_of(tmp_path, 1)
        os.kill(pid_of(tmp_path, 2), signal.SIGKILL)
        listener.wait_for("process 2: to be started again: 1 in flight, 0 stuck, 4 done", WITHIN_S)
        listener.wait_for("STATUS=working: 2 in flight, 0 stuck, 6 done", WITHIN_S)
        assert pid_of(tmp_path, 1) == spared
        worker.terminate()
        assert worker.wait(WITHIN_S) == 0
        assert worker.stderr
        assert "process 2 of 2 ended (SIGKILL)" in worker.stderr.read()


def test_one_that_starves_is_killed_while_systemds_watchdog_is_fed(tmp_path: Path, listener: Listener) -> None:
    with supervisor(tmp_path, listener, WATCHDOG_USEC="1000000") as worker:
        listener.wait_for("READY=1", WITHIN_S)
        starving = pid_of(tmp_path, 1)
        (tmp_path / "silent1").touch()
        wait_until(lambda: pid_of(tmp_path, 1) != starving, WITHIN_S, or_say=lambda: "it lives")
        (tmp_path / "silent1").unlink()
        listener.wait_for("WATCHDOG=1", WITHIN_S)
        worker.terminate()
        assert worker.wait(WITHIN_S) == 0
        assert worker.stderr
        assert "process 1 of 2 is killed: no progress for 1 s" in worker.stderr.read()


def test_the_first_says_what_is_wrong_and_the_worker_ends_as_it_did(tmp_path: Path, listener: Listener) -> None:
    (tmp_path / "wrong").touch()
    with supervisor(tmp_path, listener) as worker:
        assert worker.wait(WITHIN_S) == 78
    assert listener.wait_for("STOPPING=1", WITHIN_S) == "STOPPING=1\nSTATUS=the file is wrong"
    assert not (tmp_path / "2.pid").exists()


def test_one_with_a_wrong_file_is_tried_again_while_another_works(tmp_path: Path, listener: Listener) -> None:
    with supervisor(tmp_path, listener) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        (tmp_path / "wrong").touch()
        os.kill(pid_of(tmp_path, 1), signal.SIGKILL)
        listener.wait_for("process 1: the file is wrong", WITHIN_S)
        (tmp_path / "wrong").unlink()
        listener.wait_for("STATUS=working: 2 in flight", WITHIN_S)
        worker.terminate()
        assert worker.wait(WITHIN_S) == 0


def test_when_none_is_left_systemd_decides(tmp_path: Path, listener: Listener) -> None:
    with supervisor(tmp_path, listener) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        for number in (1, 2):
            os.kill(pid_of(tmp_path, number), signal.SIGKILL)
        assert worker.wait(WITHIN_S) == 1


def test_a_reload_asks_one_after_the_other_and_ends_at_the_first_refusal(tmp_path: Path, listener: Listener) -> None:
    with supervisor(tmp_path, listener) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        (tmp_path / "refused").touch()
        worker.send_signal(signal.SIGHUP)
        listener.wait_for("RELOADING=1\nMONOTONIC_USEC=", WITHIN_S)
        assert "not reloaded, the old settings stay in force: line 7" in listener.wait_for("READY=1", WITHIN_S)
        assert (tmp_path / "reloads").read_text() == "1"
        (tmp_path / "refused").unlink()
        worker.send_signal(signal.SIGHUP)
        assert "not reloaded" not in listener.wait_for("READY=1", WITHIN_S)
        assert (tmp_path / "reloads").read_text() == "112"
        worker.terminate()
        assert worker.wait(WITHIN_S) == 0


def test_no_process_outlives_a_killed_supervisor_even_if_it_is_frozen(tmp_path: Path, listener: Listener) -> None:
    with supervisor(tmp_path, listener) as worker:
        listener.wait_for("READY=1", WITHIN_S)
        pids = [pid_of(tmp_path, number) for number in (1, 2)]
        os.kill(pids[0], signal.SIGSTOP)
        worker.kill()
        wait_until(lambda: all(map(is_gone, pids)), WITHIN_S, or_say=lambda: f"of {pids} one lives")


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_the_kernel_says_who_told_something() -> None:
    with NotifySocket() as notices, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        assert list(notices.heard()) == []
        channel.sendto(b"STATUS=a=b\nREADY=1\nnonsense", "\0" + notices.address[1:])
        assert list(notices.heard()) == [(os.getpid(), {"STATUS": "a=b", "READY": "1"})]


def test_a_state_is_read_as_it_was_told_and_hides_passwords() -> None:
    state = WorkerState("collecting from amqp://u:geheim@host//", "paused by noc", "", 1, 2, 3, 4)
    name, _, value = state.assignment().partition("=")
    assert name == FIELD
    assert "geheim" not in value
    assert WorkerState.read(value).numbers == "paused by noc; 1 in flight, 2 stuck, 3 done, 4 failed"
    with pytest.raises(TypeError):
        WorkerState.read(json.dumps({"of": "a release to come"}))


def test_states_are_merged() -> None:
    one, two = WorkerState("works", "", "", 1, 1, 1, 1), WorkerState("waits", "Redis is away", "line 7", 2, 2, 2, 2)
    both = merged({1: one, 2: two}, [WorkerState(done=10, failed=5)])
    assert both == WorkerState("process 1: works; process 2: waits", "process 2: Redis is away", "line 7", 3, 3, 13, 8)
    assert merged({1: one, 2: one}).doing == "works"


@pytest.mark.parametrize(
    ("processes", "concurrency", "processors", "expected"),
    [(0, 32, 8, 1), (0, 99, 8, 1), (0, 100, 8, 2), (0, 1000, 8, 8), (0, 1000, 1, 1), (3, 32, 1, 3), (8, 2, 1, 2)],
)
def test_how_many_processes_a_worker_has(processes: int, concurrency: int, processors: int, expected: int) -> None:
    assert processes_of(WorkerSettings(processes=processes, concurrency=concurrency), processors) == expected


def test_sessions_are_shared_out_without_rest_and_names_are_told_apart() -> None:
    shares = [Share(number, 3) for number in (1, 2, 3)]
    assert [share.sessions(32) for share in shares] == [11, 11, 10]
    assert [Share.read(str(share)) for share in shares] == shares
    assert [share.node("dmz", "host") for share in shares] == ["dmz.1@host", "dmz.2@host", "dmz.3@host"]
    assert Share().node("dmz", "host") == "dmz@host"
    gone = shares[0].not_of_it("dmz", "host")
    assert {"dmz@host", "dmz.4@host"} <= gone
    assert gone.isdisjoint(share.node("dmz", "host") for share in shares)
    with pytest.raises(ValueError, match="no process"):
        Share.read("3/2")
