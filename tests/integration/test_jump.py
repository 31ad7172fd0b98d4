"""Devices behind jump hosts: real OpenSSH servers on the way, and what each can do to a session."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.collector.logins import NoLogins
from devicevault.credentials import Credential
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.host_key import fingerprint
from devicevault.messages import CollectResult
from devicevault.settings import JumpSettings, SshSettings
from tests.collecting import CREDENTIALS, make_context, request_for
from tests.installation import GROUP, Installation
from tests.integration.test_hung_devices import deaf_port, open_files, our_threads
from tests.openssh import OpenSSH, openssh
from tests.servers import RedisServer, free_port, wait_until

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    with openssh(tmp_path_factory.mktemp("bastion")) as server:
        yield server


@pytest.fixture(scope="module")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    with openssh(tmp_path_factory.mktemp("inner")) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OpenSSH]:
    """A jump host that no other test uses, and which may come to harm."""
    with openssh(tmp_path / "own") as server:
        yield server


def hop(server: OpenSSH, **values: Any) -> JumpSettings:
    given = {"address": "127.0.0.1", "port": server.port, "credential": "hop", "host_key": (server.host_key(),)}
    return JumpSettings.model_validate({**given, **values})


def through(
    folder: Path, credentials: str = "", ssh: dict[str, Any] | None = None, **jumps: JumpSettings
) -> CollectorContext:
    """A worker whose devices are all behind these jumps, in order."""
    context = make_context(folder, CREDENTIALS + credentials)
    settings = context.settings.model_copy(
        update={"jumps": jumps, "ssh": SshSettings(jump=tuple(jumps), **{"attempts": 1, **(ssh or {})})}
    )
    return replace(context, settings=settings)


def collected(context: CollectorContext, device: SimulatedDevice | None = None, **request: Any) -> CollectResult:
    device = device or SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device, **request), context)


def told(result: CollectResult) -> str:
    return "\n".join(line.message for line in result.log)


def test_two_hops_lead_to_a_device_each_with_its_own_key_and_host_key(
    tmp_path: Path, bastion: OpenSSH, inner: OpenSSH
) -> None:
    context = through(
        tmp_path,
        bastion.credential("hop") + inner.credential("second"),
        bastion=hop(bastion),
        inner=hop(inner, credential="second"),
    )
    result = collected(context)
    assert (result.status, result.error_message) == ("success", "")
    assert "through bastion, inner as 'backup'" in told(result)
    assert result.address == "127.0.0.1"


def test_the_way_of_the_request_goes_before_the_groups(tmp_path: Path, bastion: OpenSSH, inner: OpenSSH) -> None:
    context = through(
        tmp_path,
        bastion.credential("hop") + inner.credential("second"),
        bastion=hop(bastion),
        inner=hop(inner, credential="second"),
    )
    assert "through inner as" in told(collected(context, jump=("inner",)))
    assert "through" not in told(collected(context, jump=()))
    unknown = collected(context, jump=("iner",))
    assert (unknown.error, unknown.attempt) == ("unreachable", 1)
    assert "knows no jump 'iner'; did you mean 'inner'" in unknown.error_message


def test_sessions_share_a_connection_as_far_as_it_goes(tmp_path: Path, own: OpenSSH) -> None:
    """Nine at once with four on a connection: three logins, whoever came first."""
    context = through(tmp_path, own.credential("hop"), bastion=hop(own, sessions=4))
    devices = [SimulatedDevice(f"r{number}", delay_s=0.2) for number in range(9)]
    with Fleet(devices) as fleet, ThreadPoolExecutor(len(devices)) as pool:
        requests = [request_for(fleet, device) for device in devices]
        results = list(pool.map(lambda request: collect(request, context), requests))
        assert [result.status for result in results] == ["success"] * 9
        assert own.logins <= 3
        again = collect(requests[0], context)
    assert again.status == "success"
    assert own.logins <= 3


def test_an_unused_connection_is_closed_and_leaves_nothing(tmp_path: Path, own: OpenSSH, inner: OpenSSH) -> None:
    """The second hop rides on the first: both go, the threads and the descriptors with them."""
    context = through(
        tmp_path,
        own.credential("hop") + inner.credential("second"),
        own=hop(own, idle_s=0),
        inner=hop(inner, credential="second", idle_s=0),
    )
    before = our_threads()
    assert collected(context).status == "success"
    wait_until(lambda: not own.signal_sessions(signal.SIGCONT), 20, or_say=lambda: own.log)
    wait_until(lambda: set(our_threads()) <= set(before), 20, or_say=lambda: str(our_threads()))
    assert collected(context).status == "success"


def test_a_device_that_hangs_behind_a_jump_host_ends_at_the_deadline(tmp_path: Path, bastion: OpenSSH) -> None:
    context = through(tmp_path, bastion.credential("hop"), bastion=hop(bastion))
    result = collected(context, SimulatedDevice("r1", fault="stall"), deadline_s=3.0)
    assert (result.error, "reading the answer" in result.error_message) == ("timeout", True)
    # The connection to the jump host is none the worse for it.
    assert collected(context).status == "success"


def test_a_jump_host_that_hangs_keeps_nobody_beyond_the_deadline_and_is_connected_to_anew(
    tmp_path: Path, own: OpenSSH
) -> None:
    context = through(tmp_path, own.credential("hop"), {"connect_timeout_s": 1.0}, own=hop(own))
    hung = threading.Event()

    class Hanging(SimulatedDevice):
        """Has the jump host stopped in the middle of a session."""

        @property
        def readings(self) -> int:
            return 0

        @readings.setter
        def readings(self, value: int) -> None:
            if value and not hung.is_set():
                own.signal_sessions(signal.SIGSTOP)
                hung.set()

    result = collected(context, Hanging("r1"), deadline_s=4.0)
    assert (result.error, hung.is_set()) == ("timeout", True)
    refused = collected(context)
    assert refused.error == "unreachable"
    assert f"jump host 'own' (127.0.0.1 port {own.port}) does not answer any more" in refused.error_message
    assert collected(context).status == "success"


def test_a_jump_host_that_dies_is_named_whatever_the_session_was_at(tmp_path: Path, own: OpenSSH) -> None:
    context = through(tmp_path, own.credential("hop"), own=hop(own))
    device = SimulatedDevice("r1", fault="stall")
    with Fleet([device]) as fleet, ThreadPoolExecutor(1) as pool:
        ending = pool.submit(collect, request_for(fleet, device, deadline_s=60.0), context)
        wait_until(lambda: device.readings > 0, 20, or_say=lambda: own.log)
        own.signal_sessions(signal.SIGKILL)
        result = ending.result(timeout=30)
        assert result.error == "unreachable"
        assert f"the connection to jump host 'own' (127.0.0.1 port {own.port}) broke off" in result.error_message
        device.fault = ""
        assert collect(request_for(fleet, device), context).status == "success"


def test_a_jump_host_nobody_listens_at_is_named(tmp_path: Path, bastion: OpenSSH) -> None:
    result = collected(through(tmp_path, bastion.credential("hop"), gone=hop(bastion, port=free_port())))
    assert result.error == "unreachable"
    assert "jump host 'gone' (127.0.0.1 port " in result.error_message


def test_a_device_the_jump_host_can_not_reach_is_told_apart_from_the_jump_host(
    tmp_path: Path, bastion: OpenSSH
) -> None:
    context = through(tmp_path, bastion.credential("hop"), bastion=hop(bastion))
    result = collected(context, port=(closed := free_port()))
    assert result.error == "unreachable"
    told = f"jump host 'bastion' (127.0.0.1 port {bastion.port}) could not connect to 127.0.0.1 port {closed}: Connect"
    assert told in result.error_message


def test_a_jump_host_that_forwards_nothing_says_which_settings_are_in_the_way(tmp_path: Path) -> None:
    with openssh(tmp_path / "closed", "AllowTcpForwarding no") as closed:
        result = collected(through(tmp_path, closed.credential("hop"), closed=hop(closed)))
    assert result.error == "unreachable"
    assert "does not allow a connection to 127.0.0.1" in result.error_message
    assert "AllowTcpForwarding" in result.error_message


def test_a_jump_hosts_key_must_be_in_its_settings_and_the_error_has_the_line_to_write(
    tmp_path: Path, bastion: OpenSSH, inner: OpenSSH
) -> None:
    credentials = bastion.credential("hop")
    unknown = collected(through(tmp_path, credentials, bastion=hop(bastion, host_key=())))
    assert unknown.error == "host_key"
    assert f'[jumps.bastion] host_key = ["{bastion.host_key()}"]' in unknown.error_message
    other = collected(through(tmp_path, credentials, bastion=hop(bastion, host_key=(inner.host_key(),))))
    assert other.error == "host_key"
    for key in (bastion.host_key(), inner.host_key()):
        assert fingerprint(key) in other.error_message
    # It is no device's key: nobody may pin it.
    assert other.host_key == ""
    assert (
        collected(through(tmp_path, credentials, bastion=hop(bastion, host_key=(), host_keys="off"))).status
        == "success"
    )


class Counting(NoLogins):
    """Remembers how often each credential was refused."""

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def refused(self, credential: Credential, group: str, most: int) -> None:
        self.refusals.append(credential.name)


def test_a_jump_host_that_refuses_its_credential_is_asked_once_by_all_who_wait(tmp_path: Path, own: OpenSSH) -> None:
    """Sixteen sessions and a wrong key: one refusal, not sixteen, and no device's credential is even offered."""
    logins = Counting()
    wrong = own.credential("hop").replace('username = "', 'username = "not-')
    context = replace(through(tmp_path, wrong, own=hop(own)), logins=logins)
    device = SimulatedDevice("r1")
    together = threading.Barrier(16)

    def collect_at_once(number: int) -> CollectResult:
        together.wait()
        return collect(request_for(fleet, device, device_id=str(number)), context)

    with Fleet([device]) as fleet, ThreadPoolExecutor(16) as pool:
        results = list(pool.map(collect_at_once, range(16)))
    assert {result.error for result in results} == {"auth"}
    assert "jump host 'own' (127.0.0.1 port" in results[0].error_message
    # Who came a moment late may have tried once more.
    assert len(logins.refusals) <= 3
    assert set(logins.refusals) == {"hop"}
    assert (device.logins, device.refusals) == (0, 0)


def test_a_credential_bound_to_networks_is_bound_behind_a_jump_host_too(tmp_path: Path, bastion: OpenSSH) -> None:
    """A name is looked up by the jump host: this worker can't know what it stands for, and sends nothing."""
    context = through(tmp_path, bastion.credential("hop"), bastion=hop(bastion))
    bound = make_context(tmp_path, CREDENTIALS + 'networks = ["127.0.0.0/8"]\n' + bastion.credential("hop")).credentials
    context = replace(context, credentials=bound)
    assert collected(context).status == "success"
    device = SimulatedDevice("r1")
    result = collected(context, device, address="localhost")
    assert (result.error, device.logins, device.refusals) == ("credential", 0, 0)
    assert "IP address" in result.error_message


def test_a_jump_hosts_credential_is_bound_to_its_address_and_group(tmp_path: Path, bastion: OpenSSH) -> None:
    for bound in ('networks = ["192.0.2.0/24"]', 'groups = ["dmz"]'):
        before = bastion.logins
        result = collected(through(tmp_path, bastion.credential("hop", bound), bastion=hop(bastion)))
        assert (result.error, bastion.logins) == ("credential", before)
        assert "'hop' is not for" in result.error_message


def test_a_host_key_is_checked_behind_a_jump_host_as_anywhere(tmp_path: Path, bastion: OpenSSH) -> None:
    context = through(tmp_path, bastion.credential("hop"), bastion=hop(bastion))
    device = SimulatedDevice("r1")
    result = collected(context, device, host_keys=(bastion.host_key(),))
    assert (result.error, device.logins, device.refusals) == ("host_key", 0, 0)
    assert result.error_message.endswith("devicevault hostkeys accept r1")


def test_many_devices_that_hang_behind_a_jump_host_end_and_leave_nothing(tmp_path: Path, own: OpenSSH) -> None:
    context = through(tmp_path, own.credential("hop"), own=hop(own, sessions=20, idle_s=0))
    faults = ("stall", "no_banner", "auth_hang", "no_prompt")
    devices = [SimulatedDevice(f"r{number}", fault=faults[number % len(faults)]) for number in range(40)]
    with Fleet(devices) as fleet:
        before = open_files(), our_threads()
        with ThreadPoolExecutor(len(devices)) as pool:
            requests = [request_for(fleet, device, deadline_s=8.0) for device in devices]
            results = list(pool.map(lambda request: collect(request, context), requests))
        assert {result.error for result in results} <= {"timeout", "unreachable"}
        assert all("jump host 'own'" not in result.error_message for result in results if result.error == "unreachable")
        wait_until(
            # What another test's connection held may be gone meanwhile.
            lambda: open_files() <= before[0] and set(our_threads()) <= set(before[1]),
            30,
            or_say=lambda: f"{before} before, {open_files(), our_threads()} after",
        )


def test_a_workers_sessions_share_the_way_their_group_has(
    tmp_path: Path, own: OpenSSH, redis: RedisServer, redis_url: str
) -> None:
    """The real thing: settings, inventory, broker, worker, stream, consumer, row."""
    devices = [SimulatedDevice(f"r{number}") for number in range(6)]
    jump = f'[jumps.bastion]\naddress = "127.0.0.1"\nport = {own.port}\ncredential = "hop"\n'
    jump += f'host_key = ["{own.host_key()}"]\n[groups.{GROUP}]\nssh.jump = ["bastion"]\n'
    with Fleet(devices) as fleet:
        vault = Installation(
            tmp_path / "etc", redis.database_url(0), redis_url, f"sqlite:///{tmp_path}/vault.db", settings_text=jump
        )
        vault.write_credentials(CREDENTIALS + own.credential("hop"))
        tables = "".join(
            f'[devices.{device.name}]\naddress = "127.0.0.1"\nport = {fleet.port(device.name)}\n' for device in devices
        )
        head = f'[defaults]\nplatform = "cisco_ios"\ncredential = "lab"\ngroup = "{GROUP}"\n[groups.{GROUP}]\n'
        vault.write_inventory(head + tables)
        vault.ok("keys", "create")
        with vault.running():
            assert "6 success" in vault.ok("collect", "--all", "--wait")
    assert own.logins == 1


def test_whoever_opened_the_connection_does_not_take_it_away_from_the_others(tmp_path: Path, own: OpenSSH) -> None:
    """The first session connects to the jump host, and its deadline passes while it waits for a dead device."""
    context = through(tmp_path, own.credential("hop"), own=hop(own))
    with deaf_port() as deaf, Fleet([SimulatedDevice("r1", delay_s=1.0)]) as fleet, ThreadPoolExecutor(2) as pool:
        dead = request_for(fleet, fleet["r1"], device_id="dead", port=deaf, deadline_s=4.0)
        first = pool.submit(collect, dead, context)
        wait_until(lambda: own.logins == 1, 20, or_say=lambda: own.log)
        second = pool.submit(collect, request_for(fleet, fleet["r1"]), context)
        assert first.result(60).error == "timeout"
        assert second.result(60).status == "success"
    assert [line.message for line in second.result().log if line.severity != "info"] == []
    assert own.logins == 1
