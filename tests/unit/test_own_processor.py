"""Which processor a worker's process keeps to, and what it does where it gets none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from devicevault.daemons import own_processor as module
from devicevault.daemons.own_processor import OwnProcessor
from tests.servers import wait_until

ALLOWED = os.sched_getaffinity(0)
FIRST, SECOND = (sorted(ALLOWED) * 2)[:2]

pytestmark = pytest.mark.skipif(len(ALLOWED) < 2, reason="there is one processor")


class Kernel:
    """Where it finds room."""

    room = FIRST


@pytest.fixture(autouse=True)
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """The tests' own, and so the claims: workers of tests that run at the same time keep to processors as well."""
    told = Kernel()
    monkeypatch.setattr(module, "_ADDRESS", f"\0{tmp_path}/")
    monkeypatch.setattr(module, "_processor", lambda: told.room)
    yield told
    os.sched_setaffinity(0, ALLOWED)


@contextmanager
def another_thread() -> Iterator[int]:
    """Its id."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        yield thread.native_id
    finally:
        ended.set()
        thread.join()


def others() -> Iterator[OwnProcessor]:
    """Processes, each of which looks for itself."""
    while True:
        os.sched_setaffinity(0, ALLOWED)
        yield OwnProcessor()


def test_what_it_starts_keeps_to_the_same_one_while_the_block_lasts() -> None:
    with OwnProcessor() as own, another_thread() as thread:
        assert own.number == FIRST
        assert os.sched_getaffinity(0) == os.sched_getaffinity(thread) == {FIRST}
    assert os.sched_getaffinity(0) == ALLOWED


def test_all_threads_move_to_where_there_is_room(kernel: Kernel) -> None:
    with OwnProcessor() as own, another_thread() as thread:
        kernel.room = SECOND
        own.look()
        assert own.number == SECOND
        assert os.sched_getaffinity(0) == os.sched_getaffinity(thread) == {SECOND}
        # What it left is free again.
        os.sched_setaffinity(0, ALLOWED)
        kernel.room = FIRST
        with OwnProcessor() as other:
            assert other.number == FIRST


def test_it_looks_by_itself_from_time_to_time(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    with OwnProcessor() as own:
        kernel.room = SECOND
        wait_until(lambda: os.sched_getaffinity(0) == {SECOND}, 10, or_say=lambda: f"it stays on {own.number}")


def test_no_two_keep_to_the_same_and_who_comes_too_late_to_none_until_there_is_one(kernel: Kernel) -> None:
    processes = others()
    with ExitStack() as later:
        with ExitStack() as stack:
            mine = [stack.enter_context(next(processes)) for _ in ALLOWED]
            assert {own.number for own in mine} == ALLOWED
            for own in mine:
                before = own.number
                own.look()
                assert own.number == before
            late = later.enter_context(next(processes))
            assert late.number is None
            late.look()
            assert late.number is None
            assert os.sched_getaffinity(0) == ALLOWED
        late.look()
        assert late.number == kernel.room


def test_a_killed_process_leaves_its_processor_to_the_next() -> None:
    script = (
        "import time\n"
        "from devicevault.daemons import own_processor as module\n"
        f"module._ADDRESS = {module._ADDRESS!r}\n"
        f"module._processor = lambda: {FIRST}\n"
        "with module.OwnProcessor() as own:\n"
        "    print(own.number, flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == f"{FIRST}\n"
        with OwnProcessor() as own:
            assert own.number not in (FIRST, None)
        process.kill()
        process.wait()
    with OwnProcessor() as own:
        assert own.number == FIRST


def test_on_one_processor_there_is_nothing_to_keep_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as alone:
        alone.setattr(os, "sched_getaffinity", lambda _: {3})
        alone.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("it was set"))
        with OwnProcessor() as own:
            assert own.number is None


def test_where_it_is_forbidden_the_process_runs_anywhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(pid: int, processors: set[int]) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    caplog.set_level("INFO")
    with monkeypatch.context() as forbidden:
        forbidden.setattr(os, "sched_setaffinity", refuse)
        with OwnProcessor() as own:
            assert own.number is None
    assert caplog.messages == ["This process keeps to no processor: Operation not permitted"]
    # What it can't use it does not keep from others.
    with OwnProcessor() as other:
        assert other.number == FIRST


def test_the_kernel_tells_where_a_thread_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for number in ALLOWED:
        os.sched_setaffinity(0, {number})
        assert module._processor() == number
