"""Sessions that have read their texts at the same moment have them worked on a few at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector import at_work, plugged, session
from devicevault.collector import collect as collecting
from devicevault.collector.artifact import artifact_of
from devicevault.collector.at_work import LONG_BYTES, at_work_on
from devicevault.collector.collect import CollectorContext, collect
from devicevault.collector.normalise import normalise
from devicevault.collector.seal import Sealer
from devicevault.collector.trial import try_recording
from devicevault.credentials import CredentialStore
from devicevault.errors import OutputTruncated
from devicevault.platforms import Platforms
from devicevault.platforms.page import Platform
from devicevault.platforms.recording import Recording
from devicevault.settings import Settings
from tests.collecting import a_request as any_request
from tests.results import request as a_request
from tests.unit.test_page_language import page, read, recording

SESSIONS = 6
#: Seconds in which as many must have come as there are places, and in which one too many would come.
ALL_THERE_S = 30.0
TOO_MANY_S = 0.05


class Watched:
    """A function, and how many were in it at once: each waits until there are as many as there are places."""

    def __init__(self, function: Any, places: int) -> None:
        self._function = function
        self._places = places
        self._all_there = threading.Event()
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, *values: Any, **named: Any) -> Any:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now == self._places:
                self._all_there.set()
        assert self._all_there.wait(ALL_THERE_S), f"only {self.most} at once"
        time.sleep(TOO_MANY_S)
        try:
            return self._function(*values, **named)
        finally:
            with self._lock:
                self._now -= 1


def all_at_once(work: Any) -> None:
    with ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(lambda _: work(), range(SESSIONS)))


@pytest.fixture(params=[(0, 10**6, 2), (0, 0, 1)], ids=["usual", "long"])
def places(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every text here is of the usual size, or a long one; how many are worked on at once."""
    short, longest, places = request.param
    monkeypatch.setattr(at_work, "SHORT_BYTES", short)
    monkeypatch.setattr(at_work, "LONG_BYTES", longest)
    return int(places)


def test_so_many_texts_of_plugins_are_redacted_at_once(monkeypatch: pytest.MonkeyPatch, places: int) -> None:
    known = {"name": "example", "title": "Example", "plugin": {"name": "https"}, "artifacts": [{"ask": ["/backup"]}]}
    platform = Platform.model_validate({**known, "complete": {"ends_with": r"^end\Z"}})
    device = Recording(answers={"/backup": "hostname r1\nend\n"})
    watched = Watched(normalise, places)
    monkeypatch.setattr(plugged, "normalise", watched)
    all_at_once(lambda: try_recording(device, platform, any_request()))
    assert watched.most == places


@pytest.mark.parametrize("name", ["clean", "normalise"])
def test_so_many_texts_are_cleaned_and_redacted_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str, places: int
) -> None:
    watched = Watched(getattr(session, name), places)
    monkeypatch.setattr(session, name, watched)
    all_at_once(lambda: read(page(), recording()))
    assert watched.most == places


def test_so_many_artifacts_are_sealed_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, places: int) -> None:
    watched = Watched(artifact_of, places)
    monkeypatch.setattr(collecting, "artifact_of", watched)
    context = CollectorContext(Settings(), CredentialStore(tmp_path, {}), Platforms.load(), Sealer((), None))
    all_at_once(lambda: collect(a_request(platform="noop"), context))
    assert watched.most == places


def test_short_texts_wait_for_nobody() -> None:
    with at_work_on(LONG_BYTES + 1), at_work_on(LONG_BYTES), at_work_on(LONG_BYTES):
        assert read(page(), recording()).startswith("version 1\n")


def test_what_goes_wrong_with_a_text_leaves_its_place_to_others(places: int) -> None:
    with pytest.raises(OutputTruncated):
        read(page(), recording(answers={"show config": "version 1\n"}))
    place: Any = at_work_on(1)
    assert [place.acquire(blocking=False) for _ in range(places)] == [True] * places
    place.release(places)
