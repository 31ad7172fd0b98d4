"""Devices behind SOCKS5 and HTTP proxies, over IPv6, and from a certain address."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectResult
from devicevault.settings import JumpSettings, SshSettings
from tests.collecting import CREDENTIALS, make_context, request_for
from tests.openssh import PASSPHRASE, USER, OpenSSH, openssh
from tests.proxies import LOGIN, PASSWORD, proxy
from tests.servers import Process, accepts, free_port

pytestmark = pytest.mark.services

PROXY_LOGIN = f'[credentials.proxy]\nusername = "{LOGIN[0]}"\npassword = "{PASSWORD}"\n'


def by_way_of(folder: Path, credentials: str = "", **jumps: JumpSettings) -> CollectorContext:
    context = make_context(folder, CREDENTIALS + credentials)
    settings = context.settings.model_copy(update={"jumps": jumps, "ssh": SshSettings(jump=tuple(jumps), attempts=1)})
    return replace(context, settings=settings)


def collected(context: CollectorContext, device: SimulatedDevice | None = None, **request: Any) -> CollectResult:
    device = device or SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device, **request), context)


def at(kind: str, port: int, credential: str = "") -> JumpSettings:
    return JumpSettings.model_validate({"kind": kind, "address": "127.0.0.1", "port": port, "credential": credential})


@pytest.mark.parametrize("kind", ["socks5", "http"])
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_a_device_is_reached_through_a_proxy_that_looks_its_name_up(kind: str, address: str, tmp_path: Path) -> None:
    with proxy(kind) as asked:
        result = collected(by_way_of(tmp_path, p=at(kind, asked.port)), address=address)
        assert (result.status, result.error_message) == ("success", "")
        assert [place.partition(":")[0] for place in asked.connections] == [address]
        assert result.address == address


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_a_proxy_is_given_its_password_and_nothing_else(kind: str, tmp_path: Path) -> None:
    with proxy(kind, needs_login=True) as asked:
        assert collected(by_way_of(tmp_path, PROXY_LOGIN, p=at(kind, asked.port, "proxy"))).status == "success"
        without = collected(by_way_of(tmp_path, p=at(kind, asked.port)))
        assert without.error == "credential"
        assert "wants a credential" in without.error_message
        wrong = PROXY_LOGIN.replace(PASSWORD, "expired canary")
        device = SimulatedDevice("r1")
        refused = collected(by_way_of(tmp_path, wrong, p=at(kind, asked.port, "proxy")), device)
    assert (refused.error, device.logins, device.refusals) == ("auth", 0, 0)
    assert "proxy 'p' (127.0.0.1 port" in refused.error_message
    assert "canary" not in refused.model_dump_json()


@pytest.mark.parametrize(("kind", "why"), [("socks5", "its rules do not allow it"), ("http", "403 Forbidden")])
def test_a_proxy_that_will_not_says_why(kind: str, why: str, tmp_path: Path) -> None:
    with proxy(kind, forbids=True) as asked:
        result = collected(by_way_of(tmp_path, p=at(kind, asked.port)))
    assert (result.error, why in result.error_message) == ("unreachable", True)


@pytest.mark.parametrize(("kind", "why"), [("socks5", "connection refused"), ("http", "502 Bad Gateway")])
def test_a_proxy_that_can_not_says_why(kind: str, why: str, tmp_path: Path) -> None:
    with proxy(kind) as asked:
        result = collected(by_way_of(tmp_path, p=at(kind, asked.port)), port=free_port())
    assert (result.error, why in result.error_message) == ("unreachable", True)


@pytest.mark.parametrize(("kind", "other"), [("socks5", "http"), ("http", "socks5")])
def test_a_proxy_of_another_kind_does_not_hold_anybody_up(kind: str, other: str, tmp_path: Path) -> None:
    with proxy(other) as asked:
        result = collected(by_way_of(tmp_path, p=at(kind, asked.port)), deadline_s=2.0)
    assert result.error in ("unreachable", "timeout")
    assert "proxy 'p'" in result.error_message


def test_a_proxy_that_never_answers_ends_at_the_connect_timeout(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        context = by_way_of(tmp_path, p=at("socks5", silent.getsockname()[1]))
        ssh = context.settings.ssh.model_copy(update={"connect_timeout_s": 0.5})
        context = replace(context, settings=context.settings.model_copy(update={"ssh": ssh}))
        result = collected(context)
    assert result.error == "unreachable"
    assert "within 0.5 s" in result.error_message


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    with openssh(tmp_path_factory.mktemp("bastion"), "ListenAddress ::1") as server:
        yield server


def hop(server: OpenSSH, **values: Any) -> JumpSettings:
    given = {"address": "127.0.0.1", "port": server.port, "credential": "hop", "host_key": (server.host_key(),)}
    return JumpSettings.model_validate({**given, **values})


def test_a_proxy_stands_before_or_behind_a_jump_host(tmp_path: Path, bastion: OpenSSH) -> None:
    credentials = bastion.credential("hop")
    with proxy("socks5") as asked:
        before = by_way_of(tmp_path, credentials, p=at("socks5", asked.port), b=hop(bastion))
        assert collected(before).status == "success"
        assert asked.connections == [f"127.0.0.1:{bastion.port}"]
        behind = by_way_of(tmp_path, credentials, b=hop(bastion), p=at("socks5", asked.port))
        result = collected(behind)
        assert (result.status, len(asked.connections)) == ("success", 2)


def test_openssh_itself_as_a_socks_proxy(tmp_path: Path, bastion: OpenSSH) -> None:
    """``ssh -D``, as many do by hand."""
    key = tmp_path / "key"
    key.write_text((bastion.folder / "user").read_text())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", PASSPHRASE, "-N", "", "-f", str(key)], check=True)
    port = free_port()
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    command = ["ssh", "-F", "none", "-N", "-D", f"127.0.0.1:{port}", "-i", str(key), "-p", str(bastion.port)]
    process = Process([*command, *options, f"{USER}@127.0.0.1"], tmp_path / "ssh.log")
    process.start(lambda: accepts(port), 20)
    try:
        result = collected(by_way_of(tmp_path, p=at("socks5", port)))
        assert (result.status, result.error_message) == ("success", "")
    finally:
        process.stop()


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


def real(
    server: OpenSSH, folder: Path, address: str, ssh: dict[str, Any] | None = None, **jumps: JumpSettings
) -> CollectResult:
    """A collection of this host itself, over a real sshd."""
    context = make_context(folder, server.credential("lab"))
    settings = SshSettings(jump=tuple(jumps), **{"attempts": 1, **(ssh or {})})
    context = replace(context, settings=context.settings.model_copy(update={"jumps": jumps, "ssh": settings}))
    with Fleet([SimulatedDevice("here", "linux")]) as fleet:
        return collect(request_for(fleet, fleet["here"], address=address, port=server.port), context)


@ipv6
def test_a_device_with_an_ipv6_address(tmp_path: Path, bastion: OpenSSH) -> None:
    result = real(bastion, tmp_path, "::1")
    assert (result.status, result.address) == ("success", "::1")


@ipv6
@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_a_proxy_is_asked_for_an_ipv6_address(kind: str, tmp_path: Path, bastion: OpenSSH) -> None:
    with proxy(kind) as asked:
        result = real(bastion, tmp_path, "::1", p=at(kind, asked.port))
        assert (result.status, asked.connections) == ("success", [f"::1:{bastion.port}"])


@ipv6
def test_a_jump_host_and_the_device_behind_it_with_ipv6_addresses(tmp_path: Path, bastion: OpenSSH) -> None:
    result = real(bastion, tmp_path, "::1", b=hop(bastion, address="::1", credential="lab"))
    assert (result.status, result.error_message) == ("success", "")


def test_connections_come_from_the_source_address(tmp_path: Path, bastion: OpenSSH) -> None:
    assert real(bastion, tmp_path, "127.0.0.1", {"source_address": ("127.0.0.7",)}).status == "success"
    assert f"Accepted publickey for {USER} from 127.0.0.7 port" in bastion.log


@pytest.mark.parametrize(
    ("source", "why"),
    [("192.0.2.77", "can't be reached from 192.0.2.77"), ("2001:db8::77", "none of its address family")],
)
def test_a_source_address_that_does_not_fit_is_told(source: str, why: str, tmp_path: Path, bastion: OpenSSH) -> None:
    result = real(bastion, tmp_path, "127.0.0.1", {"source_address": (source,)})
    assert (result.error, why in result.error_message) == ("unreachable", True)
