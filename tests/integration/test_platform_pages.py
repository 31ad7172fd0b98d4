"""Every page against a device of its kind, played from a recording over SSH: whole, quiet, and free of secrets.

A recording is ``tests/platforms/PAGE.toml``, written from the vendor's documented behaviour.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from devicevault.cli.trials import unmet
from devicevault.collector import prompt
from devicevault.collector.collect import collect
from devicevault.collector.completeness import agree, counted, judge, lines_in
from devicevault.collector.detect import detect
from devicevault.collector.normalise import Normalised, normalise
from devicevault.collector.played import PlayedLine
from devicevault.collector.session import Session
from devicevault.collector.steps import Steps
from devicevault.collector.text import clean
from devicevault.collector.trial import try_recording, unnoticed_cuts
from devicevault.credentials import Credential
from devicevault.demo.fleet import Fleet
from devicevault.errors import CollectionError
from devicevault.messages import CollectResult, Status
from devicevault.platforms.page import Platform
from devicevault.platforms.player import PlayedSession, Player
from devicevault.platforms.recording import Recording
from tests.collecting import PLATFORMS, a_request, make_context, request_for
from tests.playing import PlayedDevice

FOLDER = Path(__file__).parents[1] / "platforms"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
CUTS = 20
#: One and the same device, read in two ways.
TIED = ["nvidia_nvue", "nvidia_nvue_yaml"]


@cache
def recording(name: str) -> Recording:
    return Recording.load(FOLDER / f"{name}.toml")


def played(name: str, *cuts: float) -> PlayedDevice:
    record = recording(name)
    page = PLATFORMS.get(record.platform)
    enable = "open sesame" if record.enable_asks else ""
    methods = ("password",) if page.session.ssh_auth == "credential" else ()
    return PlayedDevice(
        name, page.name, enable=enable, password_methods=methods, player=Player(record, page, cuts=cuts)
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The played devices never pause in the middle of an answer."""
    monkeypatch.setattr(prompt, "SETTLE_S", 0.03)
    monkeypatch.setattr(prompt, "LEAVE_S", 0.1)


def readings(device: PlayedDevice, folder: Path, times: int) -> list[CollectResult]:
    """Collects the device so many times."""
    context = make_context(folder, attempts=1)
    with Fleet([device]) as fleet:
        return [collect(request_for(fleet, device), context) for _ in range(times)]


def test_every_page_has_a_recording_and_every_recording_a_page() -> None:
    assert {page.name for page in PLATFORMS if page.kind == "cli"} == {recording(name).platform for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_device_of_this_kind_is_collected(name: str, tmp_path: Path) -> None:
    device = played(name)
    expected = recording(name).expect
    first, second = readings(device, tmp_path, 2)

    assert (first.status, first.error_message) == (Status.SUCCESS, "")
    assert second.status == Status.SUCCESS
    assert [artifact.name for artifact in first.artifacts] == list(expected.artifacts)
    assert [artifact.text for artifact in second.artifacts] == [artifact.text for artifact in first.artifacts]
    assert [each.original_digest for each in second.artifacts] == [each.original_digest for each in first.artifacts]

    told = "\n".join([*(artifact.text for artifact in first.artifacts), *(line.message for line in first.log)])
    answers = "\n".join(recording(name).answers.values())
    assert [secret for secret in expected.secrets if secret not in answers] == [], "a secret the device does not show"
    assert [secret for secret in expected.secrets if secret in told] == []
    assert [text for text in expected.shown if text not in told] == []
    if pager := recording(name).pager:
        assert f"{pager.asks.strip()}\n" not in told
    facts = first.facts
    assert (facts.model, facts.version, facts.serial) == (expected.model, expected.version, expected.serial)

    assert set(device.player.typed) <= set(device.player.page.commands())


@pytest.mark.parametrize("name", NAMES)
def test_platforms_check_passes_its_recording(name: str) -> None:
    """As ``devicevault platforms check`` does for a page of one's own: read, judged, and cut at 20 places."""
    record = recording(name)
    trial = try_recording(record, PLATFORMS.get(record.platform), a_request())
    assert (trial.is_whole, list(unmet(record.expect, trial))) == (True, [])
    assert unnoticed_cuts(record, trial, a_request()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_device_of_this_kind_is_told_from_all_others(name: str) -> None:
    """Or is proposed beside others whose pages fit as well: families share a command line."""
    player = played(name).player
    player.enable = "open sesame"
    credential = Credential("lab", "backup", password="correct horse", enable="open sesame")

    def open_session(page: Platform) -> Session:
        return Session(PlayedLine(PlayedSession(player, "backup")), page, credential, Steps(a_request()), 1_000_000)

    guesses = detect(open_session, PLATFORMS).guesses
    best = [guess.platform for guess in guesses if guess.weight == guesses[0].weight]
    assert player.page.name in best, "say `recognise`, or give it to the page that is taken instead"
    assert len(best) == 1 or best == TIED, "another page fits as well; say `recognise` in both"


def prove(name: str, printed: str, whole: Normalised) -> Normalised:
    """What a session does with an answer of which so much arrived; raises where it is not proven whole."""
    record = recording(name)
    page = PLATFORMS.get(record.platform)
    command = record.artifact_command(page) or page.artifacts[0].commands[0]
    raw = f"{command}\n{printed}{record.prompt}"
    last = record.prompt.rpartition("\n")[2]
    text = clean(raw, echo=command, prompt=last, above_prompt=page.session.above_prompt)
    mark = page.complete.mark_with.replace("{command}", command)
    judge(page, text, marked=mark in record.answers)
    normalised = normalise(page, text)
    count = page.complete.count_with.replace("{command}", command)
    if mark in record.answers:
        return normalised
    if count in record.answers:
        answer = page.complete.count.search(record.answer(count, page=page) or "")
        assert answer, f"{count!r}: no count in the answer"
        counted(lines_in(page, raw, echoed=True), int(answer[1]))
    elif page.complete.read_twice:
        agree(page, normalised, whole)
    return normalised


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_of_this_kind_that_is_cut_is_none(name: str) -> None:
    record = recording(name)
    page = PLATFORMS.get(record.platform)
    command = record.artifact_command(page)
    assert command, "the recording answers none of the page's commands"
    mark = page.complete.mark_with.replace("{command}", command)
    printed = record.answer(mark if mark in record.answers else command, page=page) or ""
    whole = normalise(page, clean(printed, echo=""))
    proven = prove(name, printed, whole)
    end = len(printed.rstrip())
    line_ends = [at + 1 for at, sign in enumerate(printed[:end]) if sign == "\n"]
    somewhere = {end * number // CUTS for number in range(CUTS)} | {end - 1}
    between_lines = {line_ends[len(line_ends) * number // CUTS] for number in range(CUTS)} | {line_ends[-1]}
    for at in sorted(somewhere | between_lines):
        try:
            taken = prove(name, printed[:at], whole)
        except CollectionError:
            continue
        assert taken.comparable == proven.comparable, f"cut at {at} of {end}: {printed[max(0, at - 60) : at]!r}"


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_answer_is_a_failure(name: str, tmp_path: Path) -> None:
    [result] = readings(played(name, 0.6, 0.4, 0.8), tmp_path, 1)
    assert result.status == Status.FAILURE
    assert result.error in ("truncated", "rejected", "empty")
    assert result.artifacts == ()
