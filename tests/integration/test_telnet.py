"""Devices without SSH: over telnet, behind a terminal server's port, and behind an SSH console server."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import collect
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectResult
from devicevault.settings import JumpSettings, SshSettings
from tests.collecting import CREDENTIALS, PLATFORMS, make_context, request_for
from tests.conftest import missing
from tests.openssh import openssh
from tests.servers import Process, accepts, free_port
from tests.telnet import Line, console_server, telnet_server

pytestmark = pytest.mark.services

TELNET = CREDENTIALS + "telnet = true\n"
OOB = '[credentials.oob]\nusername = "oob"\npassword = "console canary"\n'


def collected(device: SimulatedDevice, port: int, folder: Path, known: str = TELNET, **request: Any) -> CollectResult:
    context = make_context(folder, known, attempts=1)
    with Fleet([device]) as fleet:
        asked = request_for(fleet, device, **{"port": port, "transport": "telnet", **request})
        return collect(asked, context)


def told(result: CollectResult) -> str:
    return "\n".join(f"{line.severity}: {line.message}" for line in result.log)


@pytest.mark.parametrize("platform", ["cisco_ios", "hp_comware", "arista_eos"])
def test_a_device_is_read_whole_over_telnet_with_a_warning(platform: str, tmp_path: Path) -> None:
    device = SimulatedDevice("r1", platform, enable="open sesame")
    line = Line(device)
    with telnet_server(line) as port:
        result = collected(device, port, tmp_path)
    assert (result.status, result.error_message) == ("success", "")
    assert device.changes == []
    assert "warning: Telnet: everybody on the way can read" in told(result)
    assert "as 'backup' with credential 'lab'" in told(result)
    assert "correct horse" not in told(result) + result.device_config
    # Enter is what telnet calls it, and the window is wide enough for any line.
    assert b"backup\r\0correct horse\r\0" in line.typed
    assert bytes([255, 251, 31, 255, 250, 31, 1, 244, 3, 232, 255, 240]) in line.answers


def test_a_login_names_suffix_is_typed_too(tmp_path: Path) -> None:
    """RouterOS leaves colours and folded lines away only for a login that asks for it."""
    line = Line(device := SimulatedDevice("r1", "mikrotik_routeros"))
    with telnet_server(line) as port:
        result = collected(device, port, tmp_path)
    assert (result.status, result.error_message) == ("success", "")
    suffix = PLATFORMS.get("mikrotik_routeros").session.login_suffix
    assert line.typed.startswith(f"backup{suffix}\r".encode())


def test_a_credential_is_typed_over_telnet_only_where_it_says_so(tmp_path: Path) -> None:
    """Else a forged request could have any password sent in the clear."""
    line = Line(device := SimulatedDevice("r1"))
    with telnet_server(line) as port:
        result = collected(device, port, tmp_path, CREDENTIALS)
    assert (result.error, line.typed) == ("credential", bytearray())
    assert "telnet = true in [credentials.lab]" in result.error_message


def test_a_refused_password_is_typed_once_and_the_next_credential_tried(tmp_path: Path) -> None:
    line = Line(device := SimulatedDevice("r1"))
    old = TELNET.replace("credentials.lab", "credentials.old").replace("correct horse", "expired")
    with telnet_server(line) as port:
        refused = collected(device, port, tmp_path, old, credentials=("old",))
        assert (refused.error, line.refusals) == ("auth", 1)
        assert "refused user 'backup' with the password of credential 'old'" in refused.error_message
        result = collected(device, port, tmp_path, old + TELNET, credentials=("old", "lab"))
    assert (result.status, line.refusals) == ("success", 2)
    assert "trying credential 'lab'" in told(result)


def test_a_slow_login_is_waited_for(tmp_path: Path) -> None:
    """A TACACS+ server that does not answer holds a login up until the device asks the next one."""
    line = Line(device := SimulatedDevice("r1"), judged_after_s=6.0)
    with telnet_server(line) as port:
        result = collected(device, port, tmp_path)
    assert (result.status, line.refusals) == ("success", 0)


def test_a_device_that_hangs_ends_at_the_deadline(tmp_path: Path) -> None:
    line = Line(device := SimulatedDevice("r1", fault="stall"))
    with telnet_server(line) as port:
        result = collected(device, port, tmp_path, deadline_s=2.0)
    assert (result.error, "reading the answer" in result.error_message) == ("timeout", True)


def test_a_device_that_hangs_up_is_unreachable(tmp_path: Path) -> None:
    line = Line(device := SimulatedDevice("r1", fault="close"))
    with telnet_server(line) as port:
        result = collected(device, port, tmp_path)
    assert (result.error, "closed the connection" in result.error_message) == ("unreachable", True)


def test_telnet_goes_through_a_jump_host_too(tmp_path: Path) -> None:
    line = Line(device := SimulatedDevice("r1"))
    with telnet_server(line) as port, openssh(tmp_path / "bastion") as bastion, Fleet([device]) as fleet:
        context = make_context(tmp_path, TELNET + bastion.credential("hop"))
        hop = JumpSettings(address="127.0.0.1", port=bastion.port, credential="hop", host_key=(bastion.host_key(),))
        ssh = SshSettings(jump=("bastion",), attempts=1)
        settings = context.settings.model_copy(update={"jumps": {"bastion": hop}, "ssh": ssh})
        request = request_for(fleet, device, port=port, transport="telnet")
        result = collect(request, replace(context, settings=settings))
    assert (result.status, result.error_message) == ("success", "")
    assert "through bastion as 'backup'" in told(result)


def test_a_serial_line_is_woken_read_and_left_logged_out(tmp_path: Path) -> None:
    """A terminal server's port says nothing until Enter is pressed, and would keep the login for whoever comes next."""
    line = Line(device := SimulatedDevice("r1", enable="open sesame"), serial=True)
    with telnet_server(line, options=False) as port:
        result = collected(device, port, tmp_path)
        assert (result.status, result.error_message) == ("success", "")
        assert line.typed.startswith(b"\r")
        assert b"\0" not in line.typed
        assert line.logged_in == ""


def test_a_serial_line_is_left_logged_out_when_the_session_fails(tmp_path: Path) -> None:
    line = Line(device := SimulatedDevice("r1", fault="cut"), serial=True)
    with telnet_server(line, options=False) as port:
        assert collected(device, port, tmp_path).error == "truncated"
        assert line.logged_in == ""


def test_somebody_elses_login_on_a_serial_line_is_told(tmp_path: Path) -> None:
    line = Line(device := SimulatedDevice("r1"), serial=True, logged_in="ann")
    with telnet_server(line, options=False) as port:
        result = collected(device, port, tmp_path)
    assert result.status == "success"
    assert "somebody was logged in there already" in told(result)


def test_a_console_server_has_a_login_of_its_own_before_the_devices(tmp_path: Path) -> None:
    line = Line(device := SimulatedDevice("r1", enable="open sesame"), serial=True)
    with console_server(line, "oob:port7", "console canary") as port:
        request = {"transport": "ssh", "console": "oob", "console_line": ":port7"}
        result = collected(device, port, tmp_path, CREDENTIALS + OOB, **request)
        assert (result.status, result.error_message) == ("success", "")
        assert "with credential 'oob'" in told(result)
        assert "with credential 'lab'" in told(result)
        assert result.host_key.startswith("ssh-ed25519 ")
        wrong = collected(device, port, tmp_path, CREDENTIALS + OOB, **{**request, "console_line": ":port8"})
    assert wrong.error == "auth"
    assert "credential 'oob'" in wrong.error_message
    assert line.refusals == 0


BGPD = Path("/usr/lib/frr/bgpd")


@pytest.fixture
def router(tmp_path: Path) -> Iterator[int]:
    """A real telnet server: FRRouting's bgpd, as it listens on its own port."""
    if not BGPD.exists():
        missing(f"{BGPD} is missing: apt-get install frr")
    configuration = tmp_path / "bgpd.conf"
    configuration.write_text(
        "hostname edge-1\npassword correct-horse\nservice advanced-vty\nrouter bgp 64512\n"
        " neighbor 192.0.2.2 remote-as 64513\n neighbor 192.0.2.2 password Router-Canary\n"
    )
    port = free_port()
    as_user = [] if os.geteuid() == 0 else ["--user", pwd.getpwuid(os.geteuid()).pw_name]
    command = [str(BGPD), "--no_zebra", "--bgp_port", "0", "--skip_runas", *as_user]
    command += ["--vty_addr", "127.0.0.1", "--vty_port", str(port), "--vty_socket", str(tmp_path)]
    command += ["--pid_file", str(tmp_path / "bgpd.pid"), "--config_file", str(configuration)]
    server = Process(command, tmp_path / "bgpd.log")
    server.start(lambda: accepts(port), 20)
    yield port
    server.stop()


def test_a_real_router_over_telnet(router: int, tmp_path: Path) -> None:
    device = SimulatedDevice("edge-1", "frr")
    result = collected(device, router, tmp_path, TELNET.replace("correct horse", "correct-horse"))
    assert (result.status, result.error_message) == ("success", "")
    assert " neighbor 192.0.2.2 remote-as 64513\n" in result.device_config
    assert "Router-Canary" not in result.device_config
    wrong = collected(device, router, tmp_path, TELNET)
    assert wrong.error == "auth"
