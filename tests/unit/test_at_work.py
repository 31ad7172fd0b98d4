"""Sessions that have read their texts at the same moment have them worked on two at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from devicevault.collector import collect as collecting
from devicevault.collector import session
from devicevault.collector.artifact import artifact_of
from devicevault.collector.at_work import AT_WORK
from devicevault.collector.collect import CollectorContext, collect
from devicevault.collector.seal import Sealer
from devicevault.credentials import CredentialStore
from devicevault.errors import OutputTruncated
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from tests.results import request
from tests.unit.test_page_language import page, read, recording

SESSIONS = 6
#: Seconds that each text would be worked on; with all at once, each would meet the others.
WORK_S = 0.05


class Watched:
    """A function, and how many were in it at once."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, *values: Any, **named: Any) -> Any:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(WORK_S)
        try:
            return self._function(*values, **named)
        finally:
            with self._lock:
                self._now -= 1


def all_at_once(work: Any) -> None:
    with ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(lambda _: work(), range(SESSIONS)))


@pytest.mark.parametrize("name", ["clean", "normalise"])
def test_texts_are_cleaned_and_redacted_two_at_a_time(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    watched = Watched(getattr(session, name))
    monkeypatch.setattr(session, name, watched)
    all_at_once(lambda: read(page(), recording()))
    assert watched.most == 2


def test_artifacts_are_sealed_two_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    watched = Watched(artifact_of)
    monkeypatch.setattr(collecting, "artifact_of", watched)
    context = CollectorContext(Settings(), CredentialStore(tmp_path, {}), Platforms.load(), Sealer((), None))
    all_at_once(lambda: collect(request(platform="noop"), context))
    assert watched.most == 2


def test_what_goes_wrong_with_a_text_keeps_nobody_else_from_work() -> None:
    for _ in range(3):
        with pytest.raises(OutputTruncated):
            read(page(), recording(answers={"show config": "version 1\n"}))
    assert [AT_WORK.acquire(timeout=1) for _ in range(2)] == [True, True]
    AT_WORK.release(2)
