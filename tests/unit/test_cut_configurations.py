"""A configuration cut anywhere but at its end is never a success: not on a first backup, and not on a later one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devicevault.collector.completeness import agree, judge
from devicevault.collector.normalise import normalise
from devicevault.collector.text import clean
from devicevault.demo.configurations import configuration_for, is_simulated
from devicevault.errors import CollectionError
from devicevault.platforms import Platform, Platforms
from devicevault.store import Store, open_store, reader, write_results
from tests.results import request, result
from tests.transcripts import transcripts

PAGES: Final = Platforms.load()
#: What a platform's real output has around what the generator makes.
FRAMES: Final = {
    "aruba_aoscx": "Current configuration:\n!\n!Version ArubaOS-CX PL.10.13.0005\n{}",
    "cisco_asa": "{}: end\n",
    "fortinet_fortios": "#config-version=FGT-7.4.7:opmode=0:vdom=0:user=me\n{}",
    "linux": "# file: /etc/x\n{}# end of files\n",
    "mikrotik_routeros": "# 2026-05-04 06:00:00 by RouterOS 7.16\n{}",
    "noop": "{}end\n",
}
#: A recording that is a part of a configuration, by its own words.
SNIPPET: Final = "h3c_5130-48g_7.1.070"


def _fixtures() -> Iterator[tuple[str, Platform, str]]:
    """Whole configurations: generated ones of every platform that is simulated, and those of recorded devices."""
    for page in PAGES:
        if not is_simulated(page.name) and page.name != "noop":
            continue
        made = configuration_for(page.name if page.name != "noop" else "cisco_ios", "r1", size_kb=2)
        yield page.name, page, FRAMES.get(page.name, "{}").format(made)
    for recorded in transcripts():
        page = PAGES.get(recorded.platform)
        command = next(command for command in page.artifacts[0].commands if command in recorded.answers)
        if recorded.name != SNIPPET:
            yield recorded.name, page, clean(recorded.answers[command], echo=command, prompt=page.session.prompt)


FIXTURES: Final = {f"{name}-{number}": (page, text) for number, (name, page, text) in enumerate(_fixtures())}


def is_success(page: Platform, *readings: str) -> bool:
    """What the worker makes of these readings; the second is asked for where there is no end mark."""
    try:
        judge(page, readings[0])
        if page.complete.read_twice:
            agree(page, *(normalise(page, reading) for reading in readings))
    except CollectionError:
        return False
    return True


def is_whole(page: Platform, cut: str, whole: str) -> bool:
    """Whether nothing that counts is behind the cut."""
    return normalise(page, cut).comparable.rstrip() == normalise(page, whole).comparable.rstrip()


@pytest.mark.parametrize("name", FIXTURES)
def test_the_whole_is_a_success(name: str) -> None:
    page, whole = FIXTURES[name]
    assert is_success(page, whole, whole)


@given(st.sampled_from(sorted(FIXTURES)), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=400, deadline=None)
def test_no_first_backup_that_was_cut_is_a_success(name: str, first: float, second: float) -> None:
    """Where there is no end mark, two readings would have to be cut at the very same character."""
    page, whole = FIXTURES[name]
    cuts = [whole[: int(len(whole) * share)] for share in (first, second)]
    if len(cuts[0]) == len(cuts[1]):
        cuts[1] = whole
    for one, other in itertools.permutations([*cuts, whole], 2):
        if is_success(page, one, other):
            assert is_whole(page, one, whole)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("vault")
    with open_store(f"sqlite:///{folder / 'vault.db'}", migrate=True) as opened:
        yield opened


devices = itertools.count()


@given(st.sampled_from(sorted(FIXTURES)), st.floats(0, 0.69))
@example(sorted(FIXTURES)[0], 0.69)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_no_reading_shows_is_still_not_the_new_truth(store: Store, name: str, share: float) -> None:
    """A device that stops twice at the same place: the last good configuration tells, from the set share on."""
    _, whole = FIXTURES[name]
    device = f"r{next(devices)}"
    cut = whole.encode()[: int(len(whole.encode()) * share)].decode(errors="ignore")
    write_results(store, [result(request(device), "success", whole)])
    write_results(store, [result(request(device, minutes=1), "success", cut)])
    with store.reading() as session:
        found = reader.find_device(session, device)
        assert reader.device_results(session, found, limit=1)[0].status == "suspect"
        assert reader.revision(session, found, artifact="running").text == whole
