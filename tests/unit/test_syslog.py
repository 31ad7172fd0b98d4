"""From a syslog message, however hostile, to a device that waits for its quiet period to end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.inventory import Device
from devicevault.platforms import Platforms
from devicevault.platforms.loader import PACKAGE_PAGES
from devicevault.syslog.framing import Frames
from devicevault.syslog.message import MAX_BYTES, Message, parse
from devicevault.syslog.quiet import Change, QuietPeriods
from devicevault.syslog.senders import Senders, plain_address, resolve
from devicevault.syslog.watch import ChangeWatch

PLATFORMS = Platforms.load()
IOS_CHANGE = b"<189>45: r1: *Mar  1 00:00:01.123: %SYS-5-CONFIG_I: Configured from console by vty0 (192.0.2.9)"


def device(name: str = "r1", address: str = "192.0.2.1", platform: str = "cisco_ios", **values: Any) -> Device:
    return Device(name=name, device_id=name, address=address, platform=platform, **values)


# What a message says.


@pytest.mark.parametrize(
    ("data", "hostname"),
    [
        (
            b"<34>1 2026-11-24T22:14:15.003Z core.example.net su - ID47 - \xef\xbb\xbf'su root' failed",
            "core.example.net",
        ),
        (b"<165>1 - - - - - - %% no host", ""),
        (b"<34>Oct 11 22:14:15 core su: 'su root' failed", "core"),
        (b"<34>Oct  1 22:14:15 2001:db8::1 su: x", "2001:db8::1"),
        # As rsyslog forwards.
        (b"<189>2026-11-24T22:14:15.003+01:00 core 45: %SYS-5-CONFIG_I: x", "core"),
        (IOS_CHANGE, ""),
        (b"no priority at all", ""),
        (b"", ""),
        (b"<>", ""),
        (b"<9999>1 - core x", ""),
    ],
)
def test_a_host_name_is_read_in_the_forms_of_the_standards_only(data: bytes, hostname: str) -> None:
    assert parse(data).hostname == hostname


@given(st.binary(max_size=300) | st.binary().map(lambda data: b"<189>1 " + data))
def test_no_bytes_whatever_are_too_much_for_the_parser(data: bytes) -> None:
    message = parse(data)
    assert " " not in message.hostname
    assert "\n" not in message.hostname
    assert len(message.text) <= MAX_BYTES


def test_a_long_message_is_cut() -> None:
    assert len(parse(b"<1>" + b"x" * 100_000).text) <= MAX_BYTES


# Messages in a TCP connection.


def framed(chunks: Iterable[bytes]) -> list[bytes]:
    frames = Frames()
    return [message for chunk in chunks for message in frames.feed(chunk)]


def test_both_ways_of_framing_may_be_mixed() -> None:
    assert framed([b"<1>a\n5 <1>b\n<1>c\r\n\n6 <1>d\ne<1>f\0"]) == [b"<1>a", b"<1>b\n", b"<1>c\r", b"<1>d\ne", b"<1>f"]


def test_what_only_looks_like_a_length_is_text() -> None:
    assert framed([b"45: r1: x\n", b"0 y\n", b"1234567890123 z\n"]) == [b"45: r1: x", b"0 y", b"1234567890123 z"]


def test_a_frame_that_is_too_long_is_cut_and_the_next_one_is_found() -> None:
    long = b"x" * 50_000
    assert framed([b"50000 " + long + b"3 abc", long + b"\nnext\n"]) == [
        long[:MAX_BYTES],
        b"abc",
        long[:MAX_BYTES],
        b"next",
    ]


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda data: data.strip()), max_size=6), st.integers(1, 9))
def test_counted_messages_come_out_as_they_went_in_wherever_they_are_cut(messages: list[bytes], size: int) -> None:
    wire = b"".join(b"%d %b" % (len(message), message) for message in messages)
    assert framed(wire[start : start + size] for start in range(0, len(wire), size)) == messages


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_stream_whatever_is_too_much_for_the_framing(chunks: list[bytes]) -> None:
    assert all(len(message) <= MAX_BYTES for message in framed(chunks))


def test_a_frame_that_never_ends_costs_no_memory() -> None:
    frames = Frames()
    chunk = b"x" * 65_536
    list(frames.feed(b"999999999 "))
    tracemalloc.start()
    for _ in range(200):
        assert list(frames.feed(chunk)) == []
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000


# Quiet periods.


def test_a_device_is_due_once_it_was_quiet_for_long_enough() -> None:
    periods = QuietPeriods(60, 900)
    for now in (0, 30, 60):
        periods.told("r1", now)
    assert periods.take_due(119) == {}
    assert periods.take_due(120) == {"r1": Change(0, 60, 3)}
    assert periods.take_due(10_000) == {}


def test_a_device_that_changes_every_minute_is_collected_all_the_same() -> None:
    periods = QuietPeriods(61, 900)
    taken = []
    for now in range(0, 3600, 60):
        periods.told("r1", now)
        taken += [now] * len(periods.take_due(now))
    assert taken == [900, 1860, 2820]


def test_a_flood_waits_as_one_device_and_is_due_once() -> None:
    periods = QuietPeriods(60, 900)
    for _ in range(10_000):
        periods.told("r1", 1)
    assert len(periods) == 1
    assert [len(periods.take_due(61)), len(periods.take_due(61))] == [1, 0]


def test_what_could_not_be_asked_for_is_joined_with_what_was_told_meanwhile() -> None:
    periods = QuietPeriods(60, 900)
    periods.told("r1", 0)
    due = periods.take_due(60)
    periods.told("r1", 61)
    periods.put(due)
    assert periods.take_all() == {"r1": Change(0, 61, 2)}


# Whose message it is.


def senders(*devices: Device, relays: tuple[str, ...] = (), **resolved: tuple[str, ...]) -> Senders:
    return Senders.of(devices, PLATFORMS, relays, resolved)


def ids(found: Senders, address: str, hostname: str = "") -> list[str]:
    return [watched.device.device_id for watched in found.of_message(address, Message(hostname, ""))]


def test_a_device_is_known_by_the_address_it_sends_from() -> None:
    found = senders(device(), device("v6", "2001:DB8::0:1"), device("off", "192.0.2.3", enabled=False))
    assert ids(found, "192.0.2.1") == ["r1"]
    assert ids(found, "2001:db8::1") == ["v6"]
    assert ids(found, "192.0.2.3") == []
    assert plain_address("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"


def test_what_a_message_says_of_its_host_counts_behind_a_relay_only() -> None:
    devices = device("core-sw1"), device("R2", "r2.example.net"), device("r3", "192.0.2.3")
    found = senders(*devices, relays=("198.51.100.0/28",))
    assert ids(found, "192.0.2.1", "r3") == ["core-sw1"]
    assert ids(found, "203.0.113.1", "r3") == []
    assert not found.knows("203.0.113.1")
    relay = "198.51.100.3"
    assert found.knows(relay)
    for hostname, expected in {
        "core-sw1": ["core-sw1"],
        "CORE-SW1.example.org": ["core-sw1"],
        "r2.example.net": ["R2"],
        "192.0.2.3": ["r3"],
        "::ffff:192.0.2.3": ["r3"],
        "stranger": [],
        "": [],
    }.items():
        assert ids(found, relay, hostname) == expected


def test_several_devices_of_one_address_are_all_meant() -> None:
    assert ids(senders(device("a"), device("b"), device("c", "192.0.2.2")), "192.0.2.1") == ["a", "b"]


def test_names_are_looked_up_and_kept_while_they_can_not_be() -> None:
    # No name server is asked for a label of that length.
    unknown = f"{'x' * 64}.invalid"
    devices = [device("a", "localhost"), device("b", unknown), device("c", "192.0.2.1")]
    resolved = resolve(devices, {unknown: ("192.0.2.7",)})
    assert set(resolved) == {"localhost", unknown}
    assert "127.0.0.1" in resolved["localhost"]
    assert resolved[unknown] == ("192.0.2.7",)
    found = Senders.of(devices, PLATFORMS, (), resolved)
    assert ids(found, "192.0.2.7") == ["b"]
    assert ids(found, "127.0.0.1") == ["a"]


# From message to device.


@pytest.fixture
def watch() -> ChangeWatch:
    watch = ChangeWatch(QuietPeriods(60, 900))
    watch.senders = senders(device(), device("f1", "192.0.2.2", "frr"))
    return watch


def waited_for(watch: ChangeWatch) -> set[str]:
    return set(watch._periods.take_all())


def test_only_a_change_of_a_known_device_makes_it_wait(watch: ChangeWatch) -> None:
    watch.take("192.0.2.9", IOS_CHANGE)
    watch.take("192.0.2.2", IOS_CHANGE)
    watch.take("192.0.2.1", b"<189>46: r1: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up")
    assert waited_for(watch) == set()
    watch.take("192.0.2.1", IOS_CHANGE)
    assert waited_for(watch) == {"r1"}
    counts = watch.counts
    assert (counts.messages, counts.unknown, counts.changes) == (4, 1, 1)


def test_strangers_are_counted_and_told_of_in_one_line(watch: ChangeWatch, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(1000):
        watch.take("192.0.2.9", b"<1>\x1b[2J forged\nline")
        watch.tell()
    assert [record.getMessage() for record in caplog.records] == [
        "1 message came from where no device has its address, such as 192.0.2.9; see syslog.relays if that is a relay"
    ]


@given(st.binary(max_size=400))
def test_no_message_of_a_known_device_is_too_much(data: bytes) -> None:
    watch = ChangeWatch(QuietPeriods(60, 900))
    watch.senders = senders(device())
    watch.take("192.0.2.1", data)
    assert watch.counts.unknown == 0


#: As manuals and public logs have them.
CHANGES = {
    "cisco_ios": [
        IOS_CHANGE.decode(),
        "<189>24: test: May 23 15:49:32.302: %SYS-5-CONFIG_I: Configured from tftp://192.0.2.9//x by console",
        "<189>: %SYS-SW1-5-CONFIG_I: Configured from console by console",
        "<189>31: %SYS-5-CONFIG_P: Configured programmatically by process Exec from console as admin on console",
    ],
    "cisco_nxos": ["<189>: 2014 Jun 29: %VSHD-5-VSHD_SYSLOG_CONFIG_I: Configured from vty by x on con0"],
    "cisco_xr": [
        "<190>RP/0/RP0/CPU0:Sep  8 19:07:34.182 UTC: config[68961]: %MGBL-CONFIG-6-DB_COMMIT : Configuration committed",
        "<189>RP/0/RP0/CPU0:Sep  8 19:07:34.182 UTC: config[68961]: %MGBL-SYS-5-CONFIG_I : Configured from console",
    ],
    "cisco_asa": ["<165>Nov 08 2013: %ASA-5-111010: User 'x', running 'CLI' from IP 0.0.0.0, executed 'logging on'"],
    "juniper_junos": [
        "<189>Sep 20 02:13:42 R1 mgd[4312]: UI_COMMIT_COMPLETED: commit complete",
        '<189>1 2026-11-24T22:14:15.003Z R1 mgd 4312 UI_COMMIT_COMPLETED [junos@2636 a="b"] done',
        "<188>Sep 20 02:13:42 R1 mgd[4312]: UI_COMMIT_NOT_CONFIRMED: Commit was not confirmed",
    ],
    "arista_eos": [
        "<189>Jul  7 17:56:50 leaf ConfigAgent: %SYS-5-CONFIG_I: Configured from console by admin on con0 (0.0.0.0)",
        "<189>Apr 13 11:23:10 P4 ConfigAgent: %SYS-5-CONFIG_SESSION_COMMIT_SUCCESS: User x committed configuration",
    ],
    "fortinet_fortios": [
        '<189>date=2025-04-10 time=05:23:12 devname="fw" logid="0100044546" type="event" subtype="system" msg="Edit"',
        "<189>date=2016-06-16 time=08:41:14 devname=fw logid=0100044547 type=event subtype=system level=information",
    ],
    "paloalto_panos": [
        "<14>Oct 14 11:37:34 f 1,2019/10/14 11:37:34,1,CONFIG,0,0,2019/10/14 11:37:34,a,,commit,x,Web,Submitted,"
    ],
    "hp_comware": [
        "<189>Jan  1 07:30:19 2000 sw %%10CFGMAN/5/CFGMAN_CFGCHANGED: -EventIndex=1; Configuration is changed."
    ],
    "huawei_vrp": [
        "<188>Apr 30 2023 04:00:32-08:00 sw DS/4/DATASYNC_CFGCHANGE:OID 1.3.6.1 configurations have been changed.",
        "<190>Jun 19 2022 16:39:13 sw %%01CONFIGURATION/6/hwCfgManEventlog(t):CID=0x80;Configuration file was changed.",
        "<190>Jun 19 2022 16:39:13 sw %%01CONFIGURATION/6/CFG_FILE_CHANGE(s):CID=0x80;Configuration file was changed.",
    ],
    "mikrotik_routeros": ["<134>Sep 25 11:46:14 edge system,info mangle rule changed by admin"],
}
#: What the same devices say at other times, and when a backup reads them.
NO_CHANGES = {
    "cisco_ios": ["<189>46: %SYS-5-RESTART: System restarted", "<190>47: %SSH-5-SSH2_SESSION: SSH2 Session request"],
    "cisco_asa": [
        f"<165>Nov 08 2013 10:18:30: %ASA-5-111010: User 'x', running 'CLI' from IP 192.0.2.9, executed '{command}'"
        for command in PLATFORMS.get("cisco_asa").commands()
        if command != "exit"
    ],
    "arista_eos": [
        "<189>Jul  7 17:56:40 leaf ConfigAgent: %SYS-5-CONFIG_E: Enter configuration mode from console by x"
    ],
    "juniper_junos": ["<189>Sep 20 02:13:40 R1 mgd[4312]: UI_COMMIT: User 'x' requested 'commit check' operation"],
    "fortinet_fortios": [
        '<189>date=2025-04-10 devname="fw" logid="0100032001" type="event" msg="Administrator logged in"'
    ],
    "paloalto_panos": [
        "<14>Oct 14 11:37:34 f 1,2019/10/14 11:37:34,1,CONFIG,0,0,2019/10/14 11:37:34,a,,clone,x,Web,Succeeded,"
    ],
    "mikrotik_routeros": ["<134>Sep 25 11:46:14 edge system,info,account user admin logged in from 192.0.2.9 via ssh"],
}


def tells(platform: str, line: str) -> bool:
    [watched] = senders(device(platform=platform)).by_id.values()
    return watched.tells_change(parse(line.encode()))


def test_each_platform_that_tells_of_changes_is_understood_and_only_then() -> None:
    assert {page.name for page in PLATFORMS if _says_itself(page.name)} == set(CHANGES)
    assert [line for platform, lines in CHANGES.items() for line in lines if not tells(platform, line)] == []
    assert [line for platform, lines in NO_CHANGES.items() for line in lines if tells(platform, line)] == []


def _says_itself(platform: str) -> bool:
    page = PACKAGE_PAGES / f"{platform}.toml"
    return "change_messages" in page.read_text()


def test_how_changes_are_told_is_no_rule_for_a_text(tmp_path: Path) -> None:
    """Or else a site's own line would begin a new baseline of every device."""
    (tmp_path / "cisco_ios.toml").write_text('extends = "cisco_ios"\nchange_messages = ["%MINE"]\n')
    own = Platforms.load(tmp_path).get("cisco_ios")
    assert [pattern.pattern for pattern in own.change_messages][-1] == "%MINE"
    assert own.digest == PLATFORMS.get("cisco_ios").digest
