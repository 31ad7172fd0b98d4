"""The inventory: what devices inherit, every fault in one pass, and how devices are picked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devicevault.errors import ConfigurationError, UsageError
from devicevault.inventory import Device, Inventory, load_inventory
from devicevault.inventory.address import checked_address
from devicevault.inventory.entry import DeviceEntry
from devicevault.inventory.unfit import Unfit
from devicevault.settings import Settings

PLATFORMS = ("cisco_ios", "fortinet_fortios", "juniper_junos", "linux")
CREDENTIALS = ("default", "core", "dmz", "old")

Load = Callable[..., Inventory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    path = tmp_path / "devices.toml"

    def load(text: str, credentials: Collection[str] | None = CREDENTIALS, **settings: Any) -> Inventory:
        path.write_text(text)
        return load_inventory(
            Settings.model_validate({"inventory": {"path": path}, **settings}), PLATFORMS, credentials
        )

    return load


def faults_in(load: Load, text: str, **settings: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text, **settings)
    return [str(fault).split("devices.toml", 1)[1] for fault in caught.value.faults]


def test_a_device_inherits_from_its_group_and_the_defaults(load: Load) -> None:
    inventory = load("""
[defaults]
platform = "cisco_ios"
credential = "core"
tags = ["production"]
options = { level = 1, mode = "a" }
[groups.dmz]
credential = ["dmz", "core"]
port = 2222
tags = ["dmz"]
options = { mode = "b" }
[devices.core-sw1]
address = "192.0.2.1"
[devices.edge-fw1]
address = "2001:db8::1"
platform = "fortinet_fortios"
group = "dmz"
tags = ["firewall", "dmz"]
options = { vdom = "root" }
algorithms = "legacy"
deadline_s = 300
enabled = false
id = "7f3a"
""")
    assert list(inventory) == [
        Device(
            name="core-sw1",
            device_id="core-sw1",
            address="192.0.2.1",
            platform="cisco_ios",
            credentials=("core",),
            tags=("production",),
            options={"level": 1, "mode": "a"},
        ),
        Device(
            name="edge-fw1",
            device_id="7f3a",
            address="2001:db8::1",
            platform="fortinet_fortios",
            port=2222,
            group="dmz",
            credentials=("dmz", "core"),
            enabled=False,
            tags=("production", "dmz", "firewall"),
            options={"level": 1, "mode": "b", "vdom": "root"},
            algorithms="legacy",
            deadline_s=300,
        ),
    ]


def test_the_default_group_puts_devices_into_it(load: Load) -> None:
    inventory = load('[defaults]\ngroup = "dmz"\nplatform = "linux"\n[groups.dmz]\nport = 24\n[devices.a]\n')
    assert (inventory.get("a").group, inventory.get("a").port) == ("dmz", 24)


def test_a_device_without_an_address_is_reached_by_its_name(load: Load) -> None:
    assert load('[devices."sw1.example.net"]\nplatform = "linux"\n').get("sw1.example.net").address == "sw1.example.net"


def test_a_device_that_names_no_credential_uses_its_groups_or_the_one_called_default(load: Load) -> None:
    text = '[defaults]\nplatform = "linux"\n[devices.a]\n[devices.b]\ngroup = "dmz"\n'
    inventory = load(text, groups={"dmz": {"credential": "dmz"}})
    assert [device.credentials for device in inventory] == [("default",), ("dmz",)]


EVERYTHING_WRONG = """[default]
[defaults]
platform = "cisco_io"
tags = "x"
[groups.DMZ]
[groups.dmz]
port = "22"
group = "x"
[devices.a]
address = "10.0.0.300"
group = "dmx"
credential = ["core", "cor"]
[devices.b]
address = "10.0.0.1:22"
password = "hunter2"
options = { enable_secret = "hunter2", level = 1 }
deadline_s = 5
[devices.b]
address = "x"
[devices."a b"]
port = 70000
tags = ["a b"]
enabled = "yes"
[devices.c]
id = "a"
deadline_s = 1600
algorithms = "old"
address = "2001:db8::1::2"
options = { nested = [{ when = 2020-01-01 }] }
[devices.f]
platform = "linux"
options = { nested = { community = "hunter2" } }
[devices.g]
platform = "linux"
options = { algorithms = "legacy" }
[devices]
d = 1
[devices.-e]
platform = ""
"""


def test_every_fault_is_found_in_one_pass(load: Load) -> None:
    found = faults_in(load, EVERYTHING_WRONG)
    keys = "platform, port, credential, enabled, tags, options, algorithms, deadline_s, jump, console"
    numbers = "four numbers from 0 to 255, without leading zeros"
    travel = "travel through the broker"
    names = "letters, digits and . : @ + - _ only, beginning with a letter or digit"
    secrets = 'secrets belong in credentials.toml; here stands: credential = "NAME"'
    assert found == [
        ":1: default: does not belong here; did you mean 'defaults'?",
        ":3: defaults.platform: unknown platform 'cisco_io'; did you mean 'cisco_ios'?",
        ':4: defaults.tags: must be a list: ["…", "…"]',
        ":5: groups.DMZ: can't be a group's name; small letters and digits, with single - or _ between them",
        ":7: groups.dmz.port: must be a whole number, without quotes",
        f":8: groups.dmz.group: unknown key; known keys: {keys}",
        f":10: devices.a.address: '10.0.0.300' is not an IPv4 address; {numbers}",
        ":11: devices.a.group: unknown group 'dmx'; did you mean 'dmz'?",
        ":12: devices.a.credential: unknown credential 'cor'; did you mean 'core'?",
        ":14: devices.b.address: '10.0.0.1:22' has a port in it; write address = \"10.0.0.1\" and port = 22",
        f":15: devices.b.password: unknown key; {secrets}",
        f":16: devices.b.options: 'enable_secret' looks like a secret, and options {travel}; {secrets}",
        ":17: devices.b.deadline_s: a session must outlast its connection, which may take 15 s; raise it",
        ":18: devices.b: this table is already there, on line 13; remove or rename one of the two",
        f":20: devices.\"a b\": 'a b' can't be a device's name; {names}",
        ':21: devices."a b".port: must be at most 65535',
        ":22: devices.\"a b\".tags: 'a b' can't be a tag; a word without blanks and commas",
        ':23: devices."a b".enabled: must be true or false, without quotes',
        ":25: devices.c.id: 'a' is already what device 'a' is known by; each device needs an id of its own",
        ":26: devices.c.deadline_s: the broker takes a task for lost after 1800 s; lower it",
        ":27: devices.c.algorithms: must be one of 'modern' or 'legacy'",
        ":28: devices.c.address: '2001:db8::1::2' is not an IPv6 address; check its groups",
        ":29: devices.c.options: 'when' is not text, a number, true or false, or a list or table of these",
        f":32: devices.f.options: 'community' looks like a secret, and options {travel}; {secrets}",
        ":35: devices.g.options: 'algorithms' is no option; write it as a key of its own, beside options",
        ":37: devices.d: must be a table",
        f":38: devices.-e: '-e' can't be a device's name; {names}",
        ":39: devices.-e.platform: unknown platform ''; see: devicevault platforms list",
    ]
    assert "hunter2" not in "".join(found)


def test_a_name_with_dots_is_told_to_need_quotes_and_nothing_else(load: Load) -> None:
    text = (
        '[defaults]\nplatform = "cisco_ios"\n'
        '[devices.sw1.example.net]\naddress = "10.0.0.1"\n[devices.sw1.example.org]\naddress = "10.0.0.2"\n'
    )
    problem = "a device's name with dots in it stands in quotes"
    assert faults_in(load, text) == [
        f':3: devices.sw1.example.net: {problem}; write [devices."sw1.example.net"]',
        f':5: devices.sw1.example.org: {problem}; write [devices."sw1.example.org"]',
    ]
    assert faults_in(load, '[devices.sw2]\naddress = "10.0.0.3"\n[devices.sw2.optoins]\na = 1\n') == [
        ":1: devices.sw2.platform: the device has no platform; name one; see: devicevault platforms list",
        ":3: devices.sw2.optoins: unknown key; did you mean 'options'?",
    ]


def test_a_table_that_only_holds_tables_is_told_at_the_first_of_them(load: Load) -> None:
    found = faults_in(load, '\n[device.sw1]\nplatform = "cisco_ios"\n')
    assert found == [":2: device: does not belong here; did you mean 'devices'?"]


def test_a_mistake_in_the_defaults_is_told_once(load: Load) -> None:
    devices = "".join(f"[devices.sw{number}]\n" for number in range(50))
    assert len(faults_in(load, '[defaults]\nplatform = "cisco_iox"\n' + devices)) == 1


def test_a_device_needs_a_platform_and_an_address(load: Load) -> None:
    assert faults_in(load, "[devices.a]\n[devices.a_b-]\n") == [
        ":1: devices.a.platform: the device has no platform; name one; see: devicevault platforms list",
        ":2: devices.a_b-.address: the device has no address, and its name can't be one; add its address",
        ":2: devices.a_b-.platform: the device has no platform; name one; see: devicevault platforms list",
    ]


def test_a_missing_default_credential_is_a_fault_only_where_credentials_are_known(load: Load) -> None:
    text = '[devices.a]\nplatform = "linux"\n'
    assert load(text, credentials=None).get("a").credentials == ("default",)
    with pytest.raises(ConfigurationError, match="names no credential, and there is none called 'default'"):
        load(text, credentials=("core",))


def test_tables_of_a_wrong_kind_are_told(load: Load) -> None:
    assert faults_in(load, 'groups = "dmz"\n[[devices]]\nname = "a"\n') == [
        ":1: groups: is not a table; write [groups.NAME]",
        ":2: devices: is not a table; write [devices.NAME]",
    ]


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    settings = Settings.model_validate({"inventory": {"path": tmp_path / "none.toml"}})
    with pytest.raises(ConfigurationError, match=r"there is no such file; create it, or set inventory\.path"):
        load_inventory(settings, PLATFORMS)


def test_ten_thousand_devices_load(load: Load) -> None:
    devices = "".join(
        f'[devices.sw{number}]\naddress = "10.{number // 65536}.{number // 256 % 256}.{number % 256}"\n'
        f'platform = "cisco_ios"\ngroup = "dmz"\ncredential = "core"\ntags = ["access", "floor{number % 9}"]\n\n'
        for number in range(10_000)
    )
    text = f'[defaults]\ntags = ["all"]\n[groups.dmz]\nport = 2222\n{devices}'
    inventory = load(text)
    assert len(inventory) == 10_000
    assert inventory.get("sw9999").tags == ("all", "access", "floor0")


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return value.isoformat() if isinstance(value, date) else json.dumps(value).replace("NaN", "nan")


WORDS = st.sampled_from([*DeviceEntry.model_fields, "devices", "linux", "dmz", "a", "", "a b", "10.0.0.1", "x:1", "-"])
SCALARS = st.one_of(WORDS, st.integers(-1, 70000), st.booleans(), st.just(math.nan), st.just(date(2020, 1, 1)))
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(st.sampled_from(["defaults", "groups", "devices", "x"]), ANYTHING, max_size=4))
@hypothesis_settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_tables_hold_they_load_or_tell_their_faults(load: Load, data: dict[str, Any]) -> None:
    text = "".join(f"{table} = {as_toml(value)}\n" for table, value in data.items())
    try:
        inventory = load(text)
    except ConfigurationError:
        return
    assert [device.name for device in inventory] == list(data.get("devices", {}))


@given(st.ip_addresses())
def test_every_ip_address_is_an_address(address: object) -> None:
    assert checked_address(str(address)) == str(address)


@pytest.mark.parametrize(
    "address", ["sw1", "sw_1.example.net", "a.b.c.", "xn--mnchen-3ya.example", "fe80::1%eth0", "1a"]
)
def test_host_names_are_addresses(address: str) -> None:
    assert checked_address(address) == address


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.0.0", "not an IPv4 address"),
        ("010.0.0.1", "without leading zeros"),
        ("10.0.0.0/24", "the device's own address"),
        ("ssh://sw1", "is a network or a URL"),
        ("2001:db8::/32", "is a network or a URL"),
        ("[2001:db8::1]", "has brackets"),
        ("sw1:22", 'address = "sw1" and port = 22'),
        ("-sw1", "neither an IP address nor a host name"),
        ("sw 1", "neither"),
        ("sw1\n", "neither"),
        ("a" * 64, "neither"),
        (".".join(["a" * 60] * 5), "neither"),
        ("", "neither"),
    ],
)
def test_what_is_no_address_is_told_why(address: str, told: str) -> None:
    with pytest.raises(Unfit) as caught:
        checked_address(address)
    assert told in f"{caught.value.problem}; {caught.value.fix}"


@pytest.fixture
def inventory() -> Inventory:
    def device(name: str, group: str = "default", tags: tuple[str, ...] = (), enabled: bool = True) -> Device:
        return Device(name, name, name, "linux", group=group, tags=tags, enabled=enabled)

    return Inventory(
        Path("devices.toml"),
        [
            device("core-1", tags=("core",)),
            device("core-2", tags=("core", "old"), enabled=False),
            device("edge-1", "dmz", ("edge",)),
            device("edge-2", "dmz", ("edge", "old")),
        ],
    )


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ({"names": ["edge-1", "core-1", "edge-1"]}, "core-1 edge-1"),
        ({"names": ["core-2"]}, "core-2"),
        ({"names": ["core-*"]}, "core-1"),
        ({"groups": ["dmz"]}, "edge-1 edge-2"),
        ({"groups": ["dmz"], "names": ["core-1"]}, "core-1 edge-1 edge-2"),
        ({"groups": ["dmz"], "tags": ["old"]}, "edge-2"),
        ({"tags": ["edge", "old"]}, "edge-2"),
        ({"everything": True}, "core-1 edge-1 edge-2"),
        ({"everything": True, "tags": ["core"]}, "core-1"),
    ],
)
def test_devices_are_picked_in_the_order_of_the_file(inventory: Inventory, asked: dict[str, Any], chosen: str) -> None:
    assert " ".join(device.name for device in inventory.select(**asked)) == chosen


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "no device is asked for; name devices, or give --group, --tag or --all"),
        ({"names": ["core-3"]}, "there is no device 'core-3' in devices.toml; did you mean 'core-"),
        ({"names": ["x*"]}, "no enabled device is named like 'x*'"),
        ({"groups": ["dmy"]}, "no device has the group 'dmy'; did you mean 'dmz'?"),
        ({"tags": ["zzzz"]}, "no device has the tag 'zzzz'; there are: core, edge, old"),
        ({"tags": ["core", "old"]}, "no enabled device fits what is asked for"),
    ],
)
def test_a_choice_of_nothing_is_told(inventory: Inventory, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        inventory.select(**asked)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "narrower"), [({"names": ("a",)}, "the devices named"), ({"groups": ("g",)}, "--group")]
)
def test_all_and_less_than_all_do_not_go_together(load: Load, asked: dict[str, tuple[str, ...]], narrower: str) -> None:
    inventory = load('[defaults]\nplatform = "linux"\n[groups.g]\n[devices.a]\n[devices.b]\ngroup = "g"\n')
    with pytest.raises(UsageError, match=f"--all and {narrower} do not go together; leave one of the two out"):
        inventory.select(**asked, everything=True)
    assert len(inventory.select(everything=True)) == 2
