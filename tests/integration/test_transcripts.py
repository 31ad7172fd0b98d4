"""Recorded sessions of real devices, collected over SSH."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import collect
from devicevault.messages import CollectRequest, CollectResult
from tests.collecting import make_context
from tests.transcripts import FOLDER, SERVER, Transcript, needs_transcripts, transcripts

RECORDED = transcripts()
SNIPPET = "h3c_5130-48g_7.1.070"
START_S = 30.0

pytestmark = [needs_transcripts, pytest.mark.services]
each_recording = pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)

Collect = Callable[..., CollectResult]


class Replay:
    """The server of recordings, and what it says of commands that would change a device."""

    def __init__(self, folder: Path, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), "--port", str(self.port), str(folder)], stderr=stderr
            )
        deadline = time.monotonic() + START_S
        while "devices on" not in log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server of recordings did not start: {log.read_text()}")
            self._wait_for_exit(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    @property
    def changes(self) -> list[str]:
        """Commands typed that would have changed a device."""
        return [line for line in self._log.read_text().splitlines() if line.startswith("CHANGE")]

    def _wait_for_exit(self, timeout_s: float) -> None:
        descriptor = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_READ)
                selector.select(timeout_s)
        finally:
            os.close(descriptor)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    server = Replay(FOLDER, tmp_path_factory.mktemp("replay") / "stderr")
    yield server
    server.stop()


@pytest.fixture
def collected(replay: Replay, tmp_path: Path) -> Collect:
    def run(recorded: Transcript, fault: str = "", port: int = 0, deadline_s: float = 60.0) -> CollectResult:
        login = recorded.name + (f"!{fault}" if fault else "")
        file = f'[credentials.replay]\nusername = "{login}"\npassword = "replay"\nenable = "replay"\n'
        request: dict[str, Any] = {
            "task_id": str(uuid.uuid4()),
            "device_id": recorded.name,
            "device": recorded.name,
            "address": "127.0.0.1",
            "port": port or replay.port,
            "platform": recorded.platform,
            "credentials": ("replay",),
            "requested_at": datetime.now(UTC),
            "deadline_s": deadline_s,
        }
        folder = tmp_path / request["task_id"]
        folder.mkdir()
        return collect(CollectRequest.model_validate(request), make_context(folder, file, attempts=1))

    return run


@each_recording
def test_a_recorded_device_is_collected_whole_and_left_unchanged(
    recorded: Transcript, collected: Collect, replay: Replay
) -> None:
    result = collected(recorded)
    if recorded.name == SNIPPET:
        assert (result.status, result.error) == ("failure", "truncated")
    else:
        assert (result.status, result.error_message) == ("success", "")
        assert result.completeness
        assert result.facts.version
        again = collected(recorded)
        assert [each.text for each in again.artifacts] == [each.text for each in result.artifacts]
        assert [each.original_digest for each in again.artifacts] == [each.original_digest for each in result.artifacts]
        told = "\n".join([*(each.text for each in result.artifacts), *(line.message for line in result.log)])
        assert [secret for secret in recorded.hidden if secret in told] == []
        assert [part for part in recorded.volatile if part in told] == []
    assert replay.changes == []


@each_recording
@pytest.mark.parametrize(("fault", "error"), [("cut60", "truncated"), ("close60", "unreachable")])
def test_a_cut_recording_never_becomes_a_success_with_a_part(
    recorded: Transcript, fault: str, error: str, collected: Collect
) -> None:
    """The fault may hit an answer that is no configuration: then the configuration must be whole."""
    result = collected(recorded, fault)
    if result.status == "success":
        assert result.device_config == collected(recorded).device_config
    else:
        assert result.error == error or recorded.name == SNIPPET
        assert result.artifacts == ()


def all_at_once(run: Callable[[Transcript], CollectResult]) -> dict[str, CollectResult]:
    """Each recording's result by its name; what they do is wait."""
    with ThreadPoolExecutor(len(RECORDED)) as pool:
        return dict(zip([recorded.name for recorded in RECORDED], pool.map(run, RECORDED), strict=True))


def test_a_stalled_recording_ends_at_its_deadline(collected: Collect, replay: Replay) -> None:
    results = all_at_once(lambda recorded: collected(recorded, "stall60", deadline_s=4.0))
    assert {name: (result.status, result.error) for name, result in results.items()} == {
        recorded.name: ("failure", "truncated" if recorded.name == SNIPPET else "timeout") for recorded in RECORDED
    }
    assert [name for name, result in results.items() if result.artifacts] == []
    assert replay.changes == []


def test_a_slow_recording_is_waited_for(collected: Collect, replay: Replay) -> None:
    """Pauses in the middle of an answer are no end of it."""
    results = all_at_once(lambda recorded: collected(recorded, "slow40"))
    wrong = {
        name: (result.error, result.error_message)
        for name, result in results.items()
        if (result.status != "success") != (name == SNIPPET)
    }
    assert wrong == {}
    for recorded in RECORDED:
        if recorded.name != SNIPPET:
            assert results[recorded.name].device_config == collected(recorded).device_config
    assert replay.changes == []


@each_recording
def test_a_line_that_holds_the_prompt_does_not_end_the_reading(recorded: Transcript, collected: Collect) -> None:
    result = collected(recorded, "lookalike")
    if recorded.name != SNIPPET:
        assert (result.status, result.error_message) == ("success", "")


def test_a_whole_comware_configuration_is_collected(tmp_path: Path, collected: Collect) -> None:
    """The one Comware recording is a part of a configuration; here is the same session with a whole one."""
    [snippet] = [recorded for recorded in RECORDED if recorded.name == SNIPPET]
    source = next(FOLDER.glob("h3c*#simulation.yaml")).read_text()
    whole = source.replace(
        "# Configuration snippet from Issue #3673", "#\n       version 7.1.070, Release 3507P18\n      #"
    )
    whole = whole.replace("# End of snippet", "#\n      return")
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "h3c#5130-48G_7.1.070#simulation.yaml").write_text(whole)
    server = Replay(folder, tmp_path / "stderr")
    try:
        result = collected(snippet, port=server.port)
    finally:
        server.stop()
    assert (result.status, result.error_message) == ("success", "")
    assert result.device_config.endswith("#\nreturn\n")
    assert server.changes == []
