"""The simulated fleet behaves as a backup sees real devices: otherwise every test that uses it proves little."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
import pytest

from devicevault.demo.configurations import configuration_for, secrets_of
from devicevault.demo.dialects import DIALECTS
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.platforms import Platforms

PROMPT = r"[#>$\]] ?\Z"
SILENCE = {
    "cisco_ios": "terminal length 0",
    "cisco_nxos": "terminal length 0",
    "cisco_asa": "terminal pager 0",
    "arista_eos": "terminal length 0",
    "juniper_junos": "set cli screen-length 0",
    "aruba_aoscx": "no page",
    "hp_comware": "screen-length disable",
    "vyos": "set terminal length 0",
    "frr": "terminal length 0",
}
SHOW = {
    "juniper_junos": "show configuration",
    "hp_comware": "display current-configuration",
    "mikrotik_routeros": "/export show-sensitive",
    "fortinet_fortios": "show",
    "vyos": "show configuration commands",
    "linux": "cat /etc/network/interfaces",
}


class Session:
    """A person at a terminal: types, and reads until the screen stands still at something known."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel = channel
        channel.settimeout(5)

    def read_until(self, pattern: str) -> str:
        text = ""
        while not re.search(pattern, text):
            data = self.channel.recv(65536)
            if not data:
                raise EOFError(text)
            text += data.decode().replace("\r", "")
        return text

    def type(self, line: str, *, until: str = PROMPT) -> str:
        self.channel.sendall(line.encode())
        return self.read_until(until)


@contextmanager
def logged_in(fleet: Fleet, name: str, *, password: str = "", username: str = "") -> Iterator[Session]:
    device = fleet[name]
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507
    with client:
        client.connect(
            fleet.address,
            fleet.port(name),
            username or device.username,
            password or device.password,
            allow_agent=False,
            look_for_keys=False,
            timeout=5,
        )
        session = Session(client.invoke_shell())
        session.read_until(PROMPT)
        yield session


@contextmanager
def one(platform: str = "cisco_ios", **attributes: str) -> Iterator[Fleet]:
    with Fleet([SimulatedDevice("sw", platform, **attributes)]) as fleet:  # type: ignore[arg-type]
        yield fleet


@pytest.mark.parametrize("platform", DIALECTS)
def test_every_platform_shows_its_whole_configuration(platform: str) -> None:
    with one(platform) as fleet, logged_in(fleet, "sw") as session:
        if silence := SILENCE.get(platform):
            session.type(silence + "\n")
        asks = re.escape(DIALECTS[platform].pager.strip()) if DIALECTS[platform].pager else "(?!)"
        show = SHOW.get(platform, "show running-config")
        text = session.type(show + "\n", until=rf"{PROMPT}|{asks}\s*\Z")
        while re.search(rf"{asks}\s*\Z", text):
            text = re.sub(rf"{asks}\s*\Z", "", text) + session.type(" ", until=rf"{PROMPT}|{asks}\s*\Z").lstrip(" ")
        lines = {re.sub(r"\x1b\[(\?2004.|\d*D|K)", "", line).strip() for line in text.split("\n")}
        wanted = [line.strip() for line in fleet["sw"].configuration.splitlines() if line and " ENC " not in line]
        assert [line for line in wanted if line not in lines] == []
        assert fleet["sw"].readings == 1


@pytest.mark.parametrize("platform", DIALECTS)
def test_every_platform_refuses_and_reports_a_command_that_would_change_it(platform: str) -> None:
    with one(platform) as fleet, logged_in(fleet, "sw") as session:
        before = fleet["sw"].configuration
        session.type("configure terminal\n")
        assert fleet.changes == [("sw", "configure terminal")]
        assert fleet["sw"].configuration == before


@pytest.mark.parametrize("platform", DIALECTS)
def test_the_simulator_knows_what_its_platform_page_types(platform: str) -> None:
    page, dialect = Platforms.load(None).get(platform), DIALECTS[platform]
    assert page.session.prompt.fullmatch(dialect.prompt.format(name="core-sw1", user="backup"))
    assert re.fullmatch(dialect.show, page.artifacts[0].commands[0])
    assert re.fullmatch(dialect.leave, page.session.leave)
    typed = [*page.session.pager_off, *(fact.asked for fact in page.facts)]
    assert [command for command in typed if dialect.answer(command) is None] == []
    facts = [
        expression.search(dialect.answer(fact.asked) or "")
        for fact in page.facts
        for expression in (fact.model, fact.version, fact.serial)
        if expression
    ]
    assert any(facts), "the page finds nothing in what the simulator says of itself"


@pytest.mark.parametrize("platform", DIALECTS)
def test_a_made_up_configuration_holds_its_secrets_and_is_the_same_each_time(platform: str) -> None:
    text = configuration_for(platform, "sw", size_kb=40, seed=3)
    assert text == configuration_for(platform, "sw", size_kb=40, seed=3)
    assert text != configuration_for(platform, "sw", size_kb=40, seed=4)
    assert 39_000 < len(text) < 42_000
    secrets = secrets_of(platform, "sw", seed=3)
    assert secrets
    assert all(secret in text for secret in secrets)


@pytest.mark.parametrize("platform", ["cisco_ios", "cisco_nxos", "cisco_asa", "fortinet_fortios", "mikrotik_routeros"])
def test_lines_that_change_by_themselves_differ_between_two_readings(platform: str) -> None:
    with one(platform, configuration="set password ENC abc\nend\n") as fleet, logged_in(fleet, "sw") as session:
        show = SHOW.get(platform, "show running-config")
        assert session.type(show + "\n") != session.type(show + "\n")


def test_the_pager_asks_until_it_is_silenced_for_this_session_only() -> None:
    with one() as fleet:
        with logged_in(fleet, "sw") as session:
            assert session.type("show run\n", until="--More-- $|" + PROMPT).endswith("--More-- ")
            assert session.type("q").endswith("sw#")
            session.type("terminal length 0\n")
            assert "--More--" not in session.type("show run\n")
        with logged_in(fleet, "sw") as session:
            assert session.type("show run\n", until="--More-- $|" + PROMPT).endswith("--More-- ")


def test_enable_wants_its_secret_and_never_echoes_it() -> None:
    with one(enable="open sesame") as fleet, logged_in(fleet, "sw") as session:
        assert session.type("show running-config\n").endswith("sw>")
        session.type("enable\n", until="Password: $")
        assert session.type("wrong\n") == "\n% Access denied\n\nsw>"
        session.type("enable\n", until="Password: $")
        assert session.type("open sesame\n") == "\nsw#"


def test_a_cut_configuration_ends_early_at_a_prompt() -> None:
    with one(fault="cut") as fleet, logged_in(fleet, "sw") as session:
        session.type("terminal length 0\n")
        text = session.type("show running-config\n")
        assert "hostname sw" in text
        assert "\nend" not in text
        fleet["sw"].fault = ""
        assert "\nend\n" in session.type("show running-config\n")


def test_a_closing_device_ends_the_session_in_the_middle() -> None:
    with one(fault="close") as fleet, logged_in(fleet, "sw") as session:
        session.type("terminal length 0\n")
        with pytest.raises(EOFError, match="hostname sw"):
            session.type("show running-config\n")


def test_a_stalling_device_says_nothing_more() -> None:
    with one(fault="stall") as fleet, logged_in(fleet, "sw") as session:
        session.type("terminal length 0\n")
        session.channel.settimeout(0.5)
        with pytest.raises(TimeoutError):
            session.type("show running-config\n")


def test_a_lookalike_line_contains_the_prompt() -> None:
    with one(fault="lookalike") as fleet, logged_in(fleet, "sw") as session:
        session.type("terminal length 0\n")
        assert "link-to sw# console" in session.type("show running-config\n", until=r"\nend\n\nsw#\Z")


@pytest.mark.parametrize("fault", ["refuse_auth", ""])
def test_a_wrong_password_and_a_refusing_device_are_refused(fault: str) -> None:
    with one(fault=fault) as fleet:
        password = fleet["sw"].password if fault else "wrong"
        with pytest.raises(paramiko.AuthenticationException), logged_in(fleet, "sw", password=password):
            pass
        assert fleet["sw"].refusals >= 1


def test_keyboard_interactive_alone_is_enough() -> None:
    with Fleet([SimulatedDevice("sw", password_methods=("keyboard-interactive",))]) as fleet:
        with logged_in(fleet, "sw") as session:
            assert session.type("\n").endswith("sw#")
        assert fleet["sw"].logins == 1


def test_console_options_after_the_login_name_are_not_part_of_it() -> None:
    with one("mikrotik_routeros") as fleet, logged_in(fleet, "sw", username="backup+ct511w") as session:
        assert session.type("\r\n").endswith("[backup@sw] > ")


def test_a_device_without_banner_accepts_and_stays_silent() -> None:
    with one(fault="no_banner") as fleet, socket.create_connection((fleet.address, fleet.port("sw"))) as connection:
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_an_unplugged_device_refuses_and_comes_back_on_its_port() -> None:
    with one() as fleet:
        place = (fleet.address, fleet.port("sw"))
        fleet.unplug("sw")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)
        fleet.plug("sw")
        with logged_in(fleet, "sw"):
            assert (fleet.address, fleet.port("sw")) == place


def test_a_replaced_host_key_is_seen_by_the_next_session() -> None:
    def seen(fleet: Fleet) -> str:
        with paramiko.Transport(socket.create_connection((fleet.address, fleet.port("sw")))) as transport:
            transport.start_client(timeout=5)
            key = transport.get_remote_server_key()
            return f"{key.get_name()} {key.get_base64()}"

    with one() as fleet:
        first = seen(fleet)
        assert first == fleet.host_key("sw")
        fleet.replace_host_key("sw")
        assert seen(fleet) == fleet.host_key("sw") != first


def test_a_legacy_device_offers_only_old_algorithms() -> None:
    with (
        one(algorithms="legacy") as fleet,
        paramiko.Transport(socket.create_connection((fleet.address, fleet.port("sw")))) as transport,
    ):
        transport.start_client(timeout=5)
        assert transport.get_remote_server_key().get_name() == "ssh-rsa"
        assert transport.remote_cipher in ("aes128-cbc", "3des-cbc")


def test_many_sessions_hang_at_once_and_nothing_is_left_behind() -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "fleet"]

    devices = [SimulatedDevice(f"sw{n}", fault="no_banner") for n in range(300)]
    with Fleet(devices) as fleet:
        held = [socket.create_connection((fleet.address, fleet.port(device.name))) for device in devices]
        assert len({fleet.port(device.name) for device in devices}) == 300
        assert threads() == ["fleet"]
    assert threads() == []
    for connection in held:
        with connection:
            connection.settimeout(5)
            assert connection.recv(1) == b""


def test_an_unknown_platform_is_named_at_once() -> None:
    with pytest.raises(ValueError, match="no simulated 'cisco_iox'"):
        SimulatedDevice("sw", "cisco_iox")
