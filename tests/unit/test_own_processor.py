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

from devicevault import own_processor as module
from devicevault.credentials.command import CommandSource
from devicevault.own_processor import own_processor, run_anywhere

ALLOWED = os.sched_getaffinity(0)

pytestmark = pytest.mark.skipif(len(ALLOWED) < 2, reason="there is one processor")


@pytest.fixture(autouse=True)
def among_ourselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers of tests that run at the same time keep to processors as well; the tests may run in a container."""
    for number in ALLOWED:
        (tmp_path / f"cpu{number}").mkdir()
    monkeypatch.setattr(module, "_FOLDERS", tmp_path)
    monkeypatch.setattr(module, "_CONTAINER_MARKS", (tmp_path / "container",))
    yield
    os.sched_setaffinity(0, ALLOWED)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == module.__name__]


def test_what_it_starts_keeps_to_the_same_one_while_the_block_lasts() -> None:
    seen: list[set[int]] = []
    with own_processor("auto") as number:
        assert number in ALLOWED
        assert os.sched_getaffinity(0) == {number}
        thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
    assert seen == [{number}]
    assert os.sched_getaffinity(0) == ALLOWED


def test_where_the_kernel_put_it_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for here in ALLOWED:
        monkeypatch.setattr(module._LIBC, "sched_getcpu", lambda here=here: here)
        with own_processor("always") as number:
            assert number == here


def test_no_two_keep_to_the_same_and_who_comes_too_late_to_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # Each asks for itself, as processes do.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: ALLOWED)
    with ExitStack() as stack:
        assert {stack.enter_context(own_processor("auto")) for _ in ALLOWED} == ALLOWED
        with own_processor("auto") as late:
            assert late is None
        assert told(caplog)[-1] == "This process keeps to no processor: each is another worker's"
    with own_processor("auto") as again:
        assert again in ALLOWED


def test_a_killed_process_leaves_its_processor_to_the_next(tmp_path: Path) -> None:
    script = (
        "import pathlib, time\n"
        "from devicevault import own_processor as module\n"
        f"module._FOLDERS = pathlib.Path({str(tmp_path)!r})\n"
        "with module.own_processor('always') as number:\n"
        "    print(number, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            taken = int(process.stdout.readline())
            assert module._claimed(taken) is None
        finally:
            process.kill()
    claim = module._claimed(taken)
    assert claim is not None
    os.close(claim)


def test_the_kernel_has_a_folder_for_each_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert all((module._FOLDERS / f"cpu{number}").is_dir() for number in ALLOWED)
    assert module._LIBC.sched_getcpu() in ALLOWED


@pytest.mark.parametrize("reason", ["never", "one", "container"])
def test_what_is_not_wanted_is_not_done(reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as watched:
        watched.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("it was set"))
        if reason == "one":
            watched.setattr(os, "sched_getaffinity", lambda _: {min(ALLOWED)})
        if reason == "container":
            (tmp_path / "container").touch()
        with own_processor("never" if reason == "never" else "auto") as number:
            assert number is None


def test_in_a_container_it_is_done_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "container").touch()
    with own_processor("always") as number:
        assert os.sched_getaffinity(0) == {number}


def test_where_it_is_forbidden_the_process_runs_anywhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(pid: int, processors: set[int]) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    caplog.set_level("INFO")
    with monkeypatch.context() as forbidden:
        forbidden.setattr(os, "sched_setaffinity", refuse)
        with own_processor("auto") as number:
            assert number is None
            # What it can't use it does not keep from others.
            forbidden.undo()
            with own_processor("always") as other:
                assert other in ALLOWED
    assert told(caplog)[0] == "This process keeps to no processor: Operation not permitted"


def test_where_no_claim_can_be_made_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "_FOLDERS", tmp_path / "nowhere")
    with own_processor("auto") as number:
        assert number is None
    assert told(caplog) == ["This process keeps to no processor: No such file or directory"]


def test_a_program_that_fetches_a_credential_runs_wherever_there_is_room(tmp_path: Path) -> None:
    # It is told where to run once it has started; one that is not told is ended by the time limit.
    program = f"import os, time\nwhile os.sched_getaffinity(0) != {ALLOWED}: time.sleep(0.01)\nprint('free')"
    with own_processor("auto") as number:
        assert number is not None
        source = CommandSource((sys.executable, "-c", program), timeout_s=30, cache_s=0, folder=tmp_path)
        assert source.read() == "free\n"


def test_what_has_ended_and_what_runs_anywhere_stays_as_it_is() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with own_processor("auto"):
        run_anywhere(ended.pid)
    run_anywhere(0)
    assert os.sched_getaffinity(0) == ALLOWED
