"""Which processor a worker's process keeps to, and what it does where it gets none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devicevault.daemons import own_processor as module
from devicevault.daemons.own_processor import own_processor

ALLOWED = os.sched_getaffinity(0)

pytestmark = pytest.mark.skipif(len(ALLOWED) < 2, reason="there is one processor")


@pytest.fixture(autouse=True)
def among_ourselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of tests that run at the same time keep to processors as well."""
    monkeypatch.setattr(module, "_ADDRESS", f"\0{tmp_path}/")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_what_it_starts_keeps_to_the_same_one_while_the_block_lasts() -> None:
    seen: list[set[int]] = []
    with own_processor() as number:
        assert number is not None
        assert os.sched_getaffinity(0) == {number}
        thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
    assert seen == [{number}]
    assert os.sched_getaffinity(0) == ALLOWED


def test_no_two_keep_to_the_same_and_who_comes_too_late_to_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each asks for itself, as processes do.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: ALLOWED)
    with ExitStack() as stack:
        numbers = [stack.enter_context(own_processor()) for _ in ALLOWED]
        assert set(numbers) == ALLOWED
        with own_processor() as late:
            assert late is None
    with own_processor() as again:
        assert again in ALLOWED


def test_a_killed_process_leaves_its_processor_to_the_next(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from devicevault.daemons import own_processor as module\n"
        f"module._ADDRESS = {module._ADDRESS!r}\n"
        "with module.own_processor() as number:\n"
        "    print(number, flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        first = int(process.stdout.readline())
        with own_processor() as number:
            assert number not in (first, None)
        process.kill()
        process.wait()
    with own_processor() as number:
        assert number == first


def test_on_one_processor_there_is_nothing_to_keep_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("it was set"))
    with own_processor() as number:
        assert number is None


def test_where_it_is_forbidden_the_process_runs_anywhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stack: ExitStack
) -> None:
    def refuse(pid: int, processors: set[int]) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    caplog.set_level("INFO")
    with monkeypatch.context() as forbidden:
        forbidden.setattr(os, "sched_setaffinity", refuse)
        first = stack.enter_context(own_processor())
    assert first is None
    assert caplog.messages == ["This process keeps to no processor: Operation not permitted"]
    # What it can't use it does not keep from others.
    assert stack.enter_context(own_processor()) == max(ALLOWED)
