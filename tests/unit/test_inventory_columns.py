"""An inventory in columns: CSV, and router.db files of Oxidized and RANCID as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devicevault.errors import ConfigurationError
from devicevault.inventory import Inventory, load_inventory
from devicevault.settings import Settings

PLATFORMS = (
    "arista_eos",
    "cisco_asa",
    "cisco_ios",
    "cisco_nxos",
    "fortinet_fortios",
    "juniper_junos",
    "mikrotik_routeros",
)

NAMES = "letters, digits and . : @ + - _ only, beginning with a letter or digit"
PIECES = ["a", "b.c", "ios", "junos", "22", "up", "down", *':;,"#\t\n\r\x00 é-']

Load = Callable[..., Inventory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str, name: str = "router.db", **layout: Any) -> Inventory:
        path = tmp_path / name
        path.write_text(text)
        settings = Settings.model_validate({"inventory": {"path": path, **layout}})
        return load_inventory(settings, PLATFORMS, ("default", "core"))

    return load


def brief(inventory: Inventory) -> list[tuple[object, ...]]:
    return [(d.name, d.address, d.platform, d.group, d.enabled) for d in inventory]


def faults_in(load: Load, text: str, **layout: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text, **layout)
    return [str(fault).split("router.db", 1)[1] for fault in caught.value.faults]


def test_an_oxidized_router_db_of_names_models_and_groups(load: Load) -> None:
    """The default columns fit; models are known by Oxidized's names."""
    text = """# core
rtr01.example.net:ios:core
   # indented comment

sw01.example.net:nxos
fw01:fortios:dmz:backup:p"ss:"x
"""
    assert brief(load(text)) == [
        ("rtr01.example.net", "rtr01.example.net", "cisco_ios", "core", True),
        ("sw01.example.net", "sw01.example.net", "cisco_nxos", "default", True),
        ("fw01", "fw01", "fortinet_fortios", "dmz", True),
    ]


def test_an_oxidized_router_db_with_addresses_and_passwords(load: Load) -> None:
    """Columns with secrets are passed over; what is in them is never taken or told."""
    text = "rtr01.local:192.168.1.1:ios:oxidized:5uP3R53cR3T:T0p53cR3t\nrtr02.local:192.168.1.2:junos:ox:hunter2:\n"
    columns = ["name", "address", "platform", "-", "-", "-"]
    inventory = load(text, csv_columns=columns)
    assert brief(inventory)[0] == ("rtr01.local", "192.168.1.1", "cisco_ios", "default", True)
    assert inventory.get("rtr02.local").platform == "juniper_junos"
    (fault,) = faults_in(load, text.replace(":ios:", ":ioz:"), csv_columns=columns)
    assert "unknown platform 'ioz'" in fault
    assert "5uP3R53cR3T" not in fault


def test_a_rancid_router_db(load: Load) -> None:
    """What is not up is not enabled, whatever else stands there, and comments may hold anything."""
    text = """scooby.shrubbery.example;cisco;up
core1.paris;juniper;down;in testing until "Friday
core2.paris;arista;ticketed;Ticket 6054234; 5/3/2001
2001:db8::1;mikrotik;UP
"""
    inventory = load(text, csv_delimiter=";", csv_columns=["name", "platform", "enabled"])
    assert brief(inventory) == [
        ("scooby.shrubbery.example", "scooby.shrubbery.example", "cisco_ios", "default", True),
        ("core1.paris", "core1.paris", "juniper_junos", "default", False),
        ("core2.paris", "core2.paris", "arista_eos", "default", False),
        ("2001:db8::1", "2001:db8::1", "mikrotik_routeros", "default", True),
    ]


def test_a_spreadsheet_with_a_heading_and_quotes(load: Load) -> None:
    text = """Name,Address,Port,Platform,Group,Credential,Enabled,Tags,ID
sw1,2001:db8::1,2222,cisco_ios,dmz,core,yes,"access, floor1",7f3a
sw2,,,cisco_ios,,,no,,
"""
    columns = ["name", "address", "port", "platform", "group", "credential", "enabled", "tags", "id"]
    first, second = load(text, name="devices.csv", csv_delimiter=",", csv_columns=columns)
    assert (first.address, first.port, first.group, first.credentials) == ("2001:db8::1", 2222, "dmz", ("core",))
    assert (first.enabled, first.tags, first.device_id) == (True, ("access", "floor1"), "7f3a")
    assert (second.address, second.port, second.enabled, second.device_id) == ("sw2", 22, False, "sw2")


def test_the_files_own_names_are_mapped(load: Load) -> None:
    layout = {"csv_platforms": {"cisco": "cisco_asa", "Edge OS": "juniper_junos"}, "csv_groups": {"Main Site": "main"}}
    assert brief(load("a:cisco:Main Site\nb:Edge OS:lab\n", **layout)) == [
        ("a", "a", "cisco_asa", "main", True),
        ("b", "b", "juniper_junos", "lab", True),
    ]


def test_tabs_may_separate(load: Load) -> None:
    inventory = load("a\t\tcisco_ios\n", csv_delimiter="\t", csv_columns=["name", "address", "platform"])
    assert brief(inventory) == [("a", "a", "cisco_ios", "default", True)]


def test_every_fault_is_found_with_its_line_and_column(load: Load) -> None:
    text = "# first\na:ios:x:22\na:ios\n:ios\nb:iox:DMZ\nc:ios::port\nd\ne e:ios\n"
    assert faults_in(load, text, csv_columns=["name", "platform", "group", "port"]) == [
        ":3: a: this device is already there, on line 2; remove or rename one of the two",
        ":4: name: the line names no device; fill the column, or put # before the line",
        ":5: b.platform: unknown platform 'iox'; see: devicevault platforms list",
        ":5: b.group: 'DMZ' can't be a group's name; small letters and digits, with single - or _ between them",
        ":6: c.port: must be a whole number, without quotes",
        ":7: d.platform: the device has no platform; name one; see: devicevault platforms list",
        f":8: \"e e\": 'e e' can't be a device's name; {NAMES}",
    ]


def test_a_wrong_delimiter_is_told_once(load: Load) -> None:
    text = "".join(f"sw{number};cisco;up\n" for number in range(100))
    assert faults_in(load, text) == [": no line has the delimiter ':'; set inventory.csv_delimiter to the file's own"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [(["name", "model"], "'model'"), (["name", "name"], "twice"), (["address"], "no column with the device's name")],
)
def test_columns_that_can_not_be_are_refused_with_the_settings(columns: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Settings.model_validate({"inventory": {"csv_columns": columns}})


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.sampled_from(":;,\t"))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_text_it_loads_or_tells_its_faults(load: Load, text: str, delimiter: str) -> None:
    columns = ["name", "platform", "port", "enabled", "tags"]
    try:
        inventory = load(text, csv_delimiter=delimiter, csv_columns=columns)
    except ConfigurationError:
        return
    lines = [line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]
    assert len(inventory) == len(lines)
    assert all(device.platform in PLATFORMS for device in inventory)
