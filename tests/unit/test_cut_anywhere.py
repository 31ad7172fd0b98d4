"""A configuration cut at any point, by the device or on the way, is never taken for whole, a first backup's neither."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devicevault.collector.completeness import counted, judge, lines_in
from devicevault.collector.text import clean
from devicevault.demo.configurations import configuration_for
from devicevault.demo.dialects import DIALECTS, Reading
from devicevault.errors import CollectionError
from devicevault.platforms import Platform, Platforms
from devicevault.platforms.recording import Recording
from tests.transcripts import transcripts

PAGES = Platforms.load()
#: Our own recordings, which say each platform's prompt.
PLAYED = Path(__file__).parents[1] / "platforms"
#: By its own words a part of a configuration.
SNIPPET = "h3c_5130-48g_7.1.070"
#: Nothing in their text says where it ends; a session reads them twice.
ENDLESS = {"netgear_smart", "tnsr"}
RECORDED = {
    recorded.name: recorded
    for recorded in transcripts()
    if recorded.name != SNIPPET and recorded.platform not in ENDLESS
}


@dataclass(frozen=True)
class Fixture:
    """What a device prints for the command that shows its configuration, and its prompt."""

    page: Platform
    prompt: str
    printed: str

    @property
    def is_marked(self) -> bool:
        return bool(self.page.complete.mark)

    @property
    def count(self) -> int:
        """What the device answers when it is told to count the lines."""
        lines = self.printed.splitlines()
        return len(lines) if self.page.complete.counts_blank else sum(1 for line in lines if line.strip())


@cache
def fixture(name: str) -> Fixture:
    """A generated configuration of this platform, or a recorded one."""
    if recorded := RECORDED.get(name):
        page = PAGES.get(recorded.platform)
        command = next(command for command in page.artifacts[0].commands if command in recorded.answers)
        printed = clean(recorded.answers[command], echo=command, prompt=page.session.prompt)
        prompt = Recording.load(PLAYED / f"{page.name}.toml").prompt.splitlines()[-1]
    else:
        page, prompt = PAGES.get(name), DIALECTS[name].prompt
        reading = Reading("r1", "backup", 1, datetime(2026, 1, 1, tzinfo=UTC))
        printed = DIALECTS[name].frame(configuration_for(name, "r1", size_kb=2), reading)
    mark = page.complete.mark.pattern.removeprefix("^").replace(r"\Z", "\n") if page.complete.mark else ""
    return Fixture(page, prompt.format(name="r1", user="backup"), printed + mark)


def prove(fixture: Fixture, printed: str) -> None:
    """What a session does with the answer; raises where it is not proven whole."""
    command = fixture.page.artifacts[0].commands[0]
    raw = f"{command}\n{printed}{fixture.prompt}"
    text = clean(raw, echo=command, prompt=fixture.prompt)
    judge(fixture.page, text, marked=fixture.is_marked)
    if fixture.page.complete.count_with:
        counted(lines_in(fixture.page, raw, echoed=True), fixture.count)


NAMES = [*DIALECTS, *RECORDED]


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_configuration_is_proven(name: str) -> None:
    prove(fixture(name), fixture(name).printed)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_configuration_cut_at_any_point_is_not(name: str, data: st.DataObject) -> None:
    whole = fixture(name)
    end = len(whole.printed.rstrip())
    at = data.draw(st.integers(0, end - 1) | st.integers(max(0, end - 40), end - 1))
    with pytest.raises(CollectionError):
        prove(whole, whole.printed[:at])


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_cut_after_any_of_its_lines_is_not(name: str) -> None:
    """Where a device cuts, it mostly does between two lines."""
    whole = fixture(name)
    lines = whole.printed.rstrip().splitlines(keepends=True)
    step = max(1, len(lines) // 100)
    for count in {*range(0, len(lines), step), *range(max(0, len(lines) - 40), len(lines))}:
        with pytest.raises(CollectionError):
            prove(whole, "".join(lines[:count]))
