"""Reading from devices that page, change their prompt, or change under the reader's eyes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.demo.dialects import DIALECTS
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectResult
from devicevault.platforms import Platforms
from devicevault.platforms.page import Question
from tests.collecting import PLATFORMS, make_context, request_for


def with_session(context: CollectorContext, platform: str, **changes: Any) -> CollectorContext:
    """The context with a platform whose page says something else about the session."""
    page = PLATFORMS.get(platform)
    session = page.session.model_copy(update=changes)
    pages = {**PLATFORMS.pages, platform: page.model_copy(update={"session": session})}
    return replace(context, platforms=Platforms(pages))


def collected(device: SimulatedDevice, context: CollectorContext) -> CollectResult:
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device), context)


@pytest.mark.parametrize("platform", ["cisco_ios", "fortinet_fortios", "hp_comware", "vyos"])
def test_a_pager_that_is_not_silenced_is_turned_page_by_page(platform: str, tmp_path: Path) -> None:
    device = SimulatedDevice("r1", platform, enable="open sesame")
    silenced = collected(device, make_context(tmp_path))
    question = re.compile(r"-- ?[Mm]ore ?--|---- More ----|^:\Z|\(END\)")
    context = with_session(make_context(tmp_path), platform, pager_off=(), pager_prompt=question)
    paged = collected(device, context)
    assert (paged.status, paged.error_message) == ("success", "")
    assert paged.device_config == silenced.device_config


def test_a_pager_neither_silenced_nor_known_is_a_timeout_and_no_success(tmp_path: Path) -> None:
    context = with_session(make_context(tmp_path), "cisco_ios", pager_off=(), pager_prompt=None)
    device = SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        result = collect(request_for(fleet, device, deadline_s=3), context)
    assert result.error == "timeout"


def test_a_command_that_does_not_silence_the_pager_is_told(tmp_path: Path) -> None:
    context = with_session(make_context(tmp_path), "frr", pager_off=("terminal nonsense",))
    result = collected(SimulatedDevice("r1", "frr"), context)
    assert any("terminal nonsense" in line.message for line in result.log if line.severity == "warning")


def test_a_prompt_unlike_its_platform_is_named_instead_of_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devicevault.collector.prompt.NUDGE_S", 0.3)
    context = with_session(make_context(tmp_path), "cisco_ios", prompt=re.compile(r"\S+@\S+>"))
    result = collected(SimulatedDevice("r1"), context)
    assert result.error == "prompt"
    assert "'r1#'" in result.error_message


def test_a_question_at_login_is_answered_as_the_page_says(tmp_path: Path) -> None:
    """The first prompt stands in for a question here: what is typed at it must be the page's answer."""
    question = Question(asks=re.compile(r"^r1>\Z"), answer="enable\n")
    context = with_session(
        make_context(tmp_path), "cisco_ios", prompt=re.compile(r"Password: ?|r1#"), questions=(question,), enable=""
    )
    device = SimulatedDevice("r1", enable="open sesame")
    with Fleet([device]) as fleet:
        collect(request_for(fleet, device, deadline_s=3), context)
    assert device.commands[0] == "enable"


def without_count(context: CollectorContext, platform: str) -> CollectorContext:
    """The context with a platform that can't count the lines of its configuration."""
    page = PLATFORMS.get(platform)
    complete = page.complete.model_copy(update={"count_with": ""})
    pages = {**PLATFORMS.pages, platform: page.model_copy(update={"complete": complete})}
    return replace(context, platforms=Platforms(pages))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("platform", DIALECTS)
def test_a_configuration_cut_at_the_same_place_each_time_is_no_success(
    platform: str, share: float, tmp_path: Path
) -> None:
    """The first backup included: nothing is there to compare with, and two readings would agree."""
    device = SimulatedDevice("r1", platform, enable="open sesame", fault="cut", cut_share=share)
    result = collected(device, make_context(tmp_path, attempts=1))
    assert (result.status, result.error) == ("failure", "truncated")


def test_a_device_that_can_neither_mark_nor_count_is_read_twice(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    page = PLATFORMS.get("cisco_nxos")
    complete = page.complete.model_copy(update={"count_with": "show nonsense {command}"})
    pages = Platforms({**PLATFORMS.pages, "cisco_nxos": page.model_copy(update={"complete": complete})})
    result = collected(SimulatedDevice("r1", "cisco_nxos"), replace(context, platforms=pages))
    assert (result.status, result.completeness) == ("success", "two readings agree")
    assert any("does not count" in line.message for line in result.log if line.severity == "warning")


def test_a_configuration_that_grows_between_reading_and_count_is_read_again(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", "cisco_nxos")
    typed: list[str] = []

    def grow_before_the_first_count(kind: str, text: str) -> None:
        if kind == "typed":
            typed.append(text)
            if typed[-1].endswith("| count") and typed.count(typed[-1]) == 1:
                device.configuration += "vlan 4000\n"

    result = collected(device, make_context(tmp_path, transcript=grow_before_the_first_count))
    assert (result.status, typed.count("show running-config")) == ("success", 2)
    assert "vlan 4000" in result.device_config
    assert "as the device counts" in result.completeness


def test_a_configuration_that_changes_between_two_readings_is_read_until_two_agree(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", "cisco_nxos")
    readings: list[str] = []

    def change_at_the_second_reading(kind: str, text: str) -> None:
        if kind == "typed" and text.startswith("show running-config"):
            readings.append(text)
            if len(readings) == 2:
                device.configuration = device.configuration.replace("hostname r1", "hostname renamed")

    context = without_count(make_context(tmp_path, transcript=change_at_the_second_reading), "cisco_nxos")
    result = collected(device, context)
    assert (result.status, len(readings)) == ("success", 3)
    assert "hostname renamed" in result.device_config


def test_a_configuration_that_never_stays_the_same_is_no_success(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", "cisco_nxos")

    def change_always(kind: str, text: str) -> None:
        if kind == "typed" and text.startswith("show running-config"):
            device.configuration += f"vlan {len(device.configuration)}\n"

    context = without_count(make_context(tmp_path, attempts=1, transcript=change_always), "cisco_nxos")
    result = collected(device, context)
    assert (result.status, result.error) == ("failure", "truncated")
    assert "two readings differ" in result.error_message


def test_an_artifact_over_the_set_size_leaves_none_of_the_others(tmp_path: Path) -> None:
    """Never half-stored: what was read before it is of a configuration nobody can restore."""
    page = PLATFORMS.get("cisco_ios")
    needed = page.artifacts[0].model_copy(update={"name": "startup", "commands": ("show startup-config",)})
    pages = {**PLATFORMS.pages, "cisco_ios": page.model_copy(update={"artifacts": (page.artifacts[0], needed)})}
    device = SimulatedDevice("r1")

    def grow(kind: str, text: str) -> None:
        if kind == "typed" and text == "show startup-config":
            device.startup = "! filler\n" * 20_000 + device.startup

    context = make_context(tmp_path, transcript=grow, max_artifact_mb=0.1)
    result = collected(device, replace(context, platforms=Platforms(pages)))
    assert (result.status, result.error, result.artifacts) == ("failure", "too_large", ())


def test_a_device_of_another_platform_than_said_is_no_success(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", "cisco_ios")
    with Fleet([device]) as fleet:
        result = collect(request_for(fleet, device, platform="linux"), make_context(tmp_path))
    assert (result.status, result.error) == ("failure", "truncated")
