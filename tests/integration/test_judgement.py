"""Retries with judgement: what may go better next time is tried again, what locks accounts is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from devicevault import steering
from devicevault.collector.collect import CollectorContext, collect
from devicevault.collector.logins import GroupLogins
from devicevault.collector.pace import Pace
from devicevault.collector.seal import Sealer
from devicevault.credentials import Credential
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.doctor.results import look
from devicevault.errors import CollectionInterrupted
from devicevault.messages import CollectResult
from devicevault.settings import Settings, SshSettings
from tests.collecting import CREDENTIALS, make_context, request_for

TWO = CREDENTIALS + '[credentials.elsewhere]\nusername = "core"\npassword = "s3cret"\nnetworks = ["192.0.2.0/24"]\n'


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices are tried again at once."""
    monkeypatch.setattr("devicevault.collector.collect.RETRY_S", 0.05)


def collected(device: SimulatedDevice, context: CollectorContext, **fields: Any) -> CollectResult:
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device, **fields), context)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("fault", "error"),
    [("cut", "truncated"), ("close", "unreachable"), ("stall", "timeout"), ("hang_up", "unreachable")],
)
def test_what_may_go_better_next_time_is_tried_up_to_the_set_count(fault: str, error: str, tmp_path: Path) -> None:
    context = make_context(tmp_path, attempts=3)
    result = collected(SimulatedDevice("r1", fault=fault), context, deadline_s=1.0)
    assert (result.error, result.attempt) == (error, 3)
    retries = [line.message for line in result.log if line.severity == "warning"]
    assert [message.split(":")[:2] for message in retries] == [[f"Attempt {n}", f" {error}"] for n in (1, 2)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("fault", "error"), [("refuse_auth", "auth"), ("error_text", "rejected")])
def test_what_will_not_is_tried_once(fault: str, error: str, tmp_path: Path) -> None:
    device = SimulatedDevice("r1", fault=fault)
    result = collected(device, make_context(tmp_path, attempts=3))
    assert (result.error, result.attempt) == (error, 1)
    assert device.refusals + device.logins == 1


@pytest.mark.usefixtures("quick")
def test_a_device_that_cuts_once_is_a_success_at_the_second_attempt(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", fault="cut")
    context = make_context(tmp_path)

    def mend(kind: str, text: str) -> None:
        if kind == "typed" and device.logins == 2:
            device.fault = ""

    result = collected(device, replace(context, transcript=mend))
    assert (result.status, result.attempt) == ("success", 2)
    assert any("Attempt 1: truncated" in line.message for line in result.log)


def test_a_credential_bound_elsewhere_makes_way_for_the_next(tmp_path: Path) -> None:
    """And is never offered to the device."""
    device = SimulatedDevice("r1")
    result = collected(device, make_context(tmp_path, TWO), credentials=("elsewhere", "missing", "lab"))
    assert (result.status, device.refusals) == ("success", 0)


def test_when_no_credential_fits_the_refused_one_is_told_before_the_unfit(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", fault="refuse_auth")
    result = collected(device, make_context(tmp_path, TWO), credentials=("lab", "elsewhere"))
    assert result.error == "auth"
    result = collected(SimulatedDevice("r1"), make_context(tmp_path, TWO), credentials=("elsewhere", "missing"))
    assert (result.error, "elsewhere" in result.error_message) == ("credential", True)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.services
def test_a_few_bad_devices_do_not_stop_the_rest(client: Redis, tmp_path: Path) -> None:
    """One success ends the row of refusals."""
    sealer = Sealer((), b"k" * 32)
    context = replace(make_context(tmp_path, max_refused_logins=3), logins=GroupLogins(client, sealer))
    devices = [SimulatedDevice(f"r{n}", fault="refuse_auth" if n % 3 else "") for n in range(12)]
    with Fleet(devices) as fleet:
        results = [collect(request_for(fleet, device), context) for device in devices]
    assert [result.error for result in results] == ["auth" if n % 3 else "" for n in range(12)]


@pytest.mark.services
@pytest.mark.parametrize("most", [0, 3])
def test_a_row_of_refusals_is_ended_only_where_there_is_one(most: int, client: Redis, tmp_path: Path) -> None:
    here, elsewhere = (
        replace(make_context(tmp_path, max_refused_logins=most), logins=GroupLogins(client, Sealer((), b"k" * 32)))
        for _ in range(2)
    )
    refusing, well = SimulatedDevice("r1", fault="refuse_auth"), SimulatedDevice("r2")
    with Fleet([refusing, well]) as fleet:
        client.config_resetstat()
        collect(request_for(fleet, well), here)
        collect(request_for(fleet, well), here)
        # Where nobody stops at any number, nobody asks for it either.
        assert ("cmdstat_hdel" in client.info("commandstats")) is (most == 0)
        collect(request_for(fleet, refusing), elsewhere)
        assert client.hvals("refused:logins:default") == [b"1"]
        collect(request_for(fleet, well), here)
        assert client.hvals("refused:logins:default") == []


@pytest.mark.services
def test_refusals_are_counted_over_all_workers_for_one_group_and_one_password(client: Redis, tmp_path: Path) -> None:
    sealer = Sealer((), b"k" * 32)
    first, second = (
        replace(make_context(tmp_path, max_refused_logins=2), logins=GroupLogins(client, sealer)) for _ in range(2)
    )
    device = SimulatedDevice("r1", fault="refuse_auth")
    with Fleet([device]) as fleet:
        errors = [collect(request_for(fleet, device), context).error for context in (first, second, first, second)]
        assert errors == ["auth", "auth", "credential", "credential"]
        assert collect(request_for(fleet, device, group="other"), first).error == "auth"
        renewed = make_context(tmp_path, CREDENTIALS.replace("horse", "mule"), max_refused_logins=2)
        assert collect(request_for(fleet, device), replace(renewed, logins=first.logins)).error == "auth"
    assert device.refusals == 4
    told = str(client.hgetall("refused:logins:default"))
    assert "correct" not in told


@pytest.mark.services
def test_doctor_names_the_credential_a_group_stopped_using_and_what_lifts_it(redis_url: str, tmp_path: Path) -> None:
    settings = Settings(redis_url=redis_url, ssh=SshSettings(max_refused_logins=2))
    with Redis.from_url(redis_url) as client:
        logins = GroupLogins(client, Sealer((), b"k" * 32))
        for group, times in (("dmz", 2), ("branch", 1)):
            for _ in range(times):
                logins.refused(Credential("lab", "backup", "wrong"), group, 2)
        told = [finding for finding in look(settings) if "refused logins" in finding.text]
        assert [finding.text.split(" after")[0] for finding in told] == ["group dmz stopped using credential lab"]
        assert "devicevault resume dmz" in told[0].fix
        steering.resume_group(client, "dmz")
        assert not any("refused logins" in finding.text for finding in look(settings))


@pytest.mark.services
def test_a_groups_sessions_begin_at_its_pace_over_all_its_workers(client: Redis) -> None:
    workers = [Pace(client), Pace(client)]
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: workers[number % 2].wait("dmz", 20, threading.Event()), range(16)))
    assert time.monotonic() - began >= 15 / 20 - 0.01
    workers[0].wait("other", 20, threading.Event())


@pytest.mark.services
def test_a_turn_that_is_too_far_off_gives_the_task_back(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devicevault.collector.pace.GIVE_BACK_S", 0.01)
    pace = Pace(client)
    pace.wait("dmz", 0.01, threading.Event())
    with pytest.raises(CollectionInterrupted, match=r"0\.01 sessions a second"):
        pace.wait("dmz", 0.01, threading.Event())
