"""What real devices said, read by our pages."""

from __future__ import annotations

import re

import pytest

from devicevault.collector.completeness import agree, judge
from devicevault.collector.normalise import normalise
from devicevault.collector.redact import PLACEHOLDER
from devicevault.collector.text import clean
from devicevault.errors import OutputTruncated
from devicevault.platforms import Platform, Platforms
from tests.transcripts import Transcript, needs_transcripts, transcripts

PAGES = Platforms.load()
RECORDED = transcripts()
#: By its own words a part of a configuration: it has no `return` at its end.
SNIPPET = "h3c_5130-48g_7.1.070"

pytestmark = needs_transcripts
each_recording = pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)


def configuration(recorded: Transcript) -> tuple[Platform, str]:
    page = PAGES.get(recorded.platform)
    command = next(command for command in page.artifacts[0].commands if command in recorded.answers)
    return page, clean(recorded.answers[command], echo=command, prompt=page.session.prompt)


def answer(recorded: Transcript, page: Platform, command: str) -> str:
    return clean(recorded.answers.get(command, b""), echo=command, prompt=page.session.prompt)


def prove(page: Platform, first: str, second: str) -> None:
    """What a session asks of a configuration it read."""
    judge(page, first)
    if page.complete.read_twice:
        agree(page, normalise(page, first), normalise(page, second))


def as_ours(expression: str) -> str:
    """The recordings' expectations with our placeholder; they are expressions where they look like it."""
    expected = re.sub("<secret (?:removed|hidden)>|<hidden>", PLACEHOLDER, expression)
    return expected if "\\." in expected or expected.startswith("^") else re.escape(expected)


@each_recording
def test_a_whole_configuration_is_taken_for_whole_and_a_part_of_one_is_not(recorded: Transcript) -> None:
    page, text = configuration(recorded)
    if recorded.name == SNIPPET:
        with pytest.raises(OutputTruncated, match="it does not end with 'return'"):
            judge(page, text)
    else:
        judge(page, text)


@each_recording
def test_no_recorded_secret_is_shown(recorded: Transcript) -> None:
    page, text = configuration(recorded)
    shown = normalise(page, text).text
    assert [secret for secret in recorded.hidden if secret in shown] == []
    assert [part for part in recorded.shown if not re.search(as_ours(part), shown, re.MULTILINE)] == []


@each_recording
def test_what_changes_by_itself_is_left_out(recorded: Transcript) -> None:
    page, text = configuration(recorded)
    normalised = normalise(page, text)
    for changing in recorded.volatile:
        assert changing not in normalised.text
        assert changing not in normalised.comparable


@each_recording
def test_every_line_that_is_neither_volatile_nor_secret_stays(recorded: Transcript) -> None:
    page, text = configuration(recorded)
    kept = normalise(page, text).text
    volatile = "".join(match[0] for pattern in page.volatile for match in pattern.finditer(text))
    secret = [match[0] for rule in page.secrets for match in rule.pattern.finditer(text)]
    lost = [line for line in text.splitlines() if line.strip() and line not in kept]
    unexplained = [
        line
        for line in lost
        if line not in volatile
        and not any(pattern.search(line) or line in pattern.pattern for pattern in page.volatile)
        and not any(line in part or part.strip() in line for part in secret)
        and "://" not in line
        and "export-password" not in line
    ]
    assert unexplained == []
    for part in recorded.compared:
        assert (part in text) == (part in kept)


@each_recording
@pytest.mark.parametrize("percent", [5, 30, 60, 90, 99])
def test_a_cut_configuration_is_never_taken_for_whole(recorded: Transcript, percent: int) -> None:
    """A cut at a line's end is found by the text's end, or else by the second reading."""
    page, text = configuration(recorded)
    lines = text.splitlines(keepends=True)
    cut = "".join(lines[: max(1, len(lines) * percent // 100)])
    assert cut != text
    with pytest.raises(OutputTruncated):
        prove(page, cut, text)


@each_recording
def test_facts_are_found_in_recorded_answers(recorded: Transcript) -> None:
    page = PAGES.get(recorded.platform)
    _, text = configuration(recorded)
    versions = [
        match[1]
        for source in page.facts
        if source.version
        for match in [source.version.search(text if not source.asked else answer(recorded, page, source.asked))]
        if match
    ]
    assert versions
    assert re.search(r"\d", versions[0])
