"""Whatever a device's table in TOML can say, a row, a record and a host's variables can say as well."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devicevault.inventory import Device, load_inventory
from devicevault.inventory.entry import DeviceEntry
from devicevault.settings import Settings
from devicevault.settings.schema import CSV_COLUMNS
from tests.netbox import TOKEN, device, web_server

PLATFORMS = ("cisco_ios", "sftp_file")
JUMPS = {name: {"address": "192.0.2.1", "credential": "hop"} for name in ("bastion", "inner")}
#: Behind a console server; what travels as text stands as text here.
SAID = {
    "name": "fw1",
    "address": "2001:db8::7",
    "port": "2207",
    "platform": "sftp_file",
    "group": "dmz",
    "credential": "core, spare",
    "enabled": "no",
    "tags": "edge, berlin",
    "id": "4711",
    "transport": "ssh",
    "algorithms": "Legacy",
    "deadline_s": "240",
    "jump": "bastion,inner",
    "console": "oob",
    "console_line": "#port7",
    "options": '{"files": ["/etc/a", "/etc/b"], "text": true}',
}
TOML = """
[groups.dmz]
[devices.fw1]
address = "2001:db8::7"
port = 2207
platform = "sftp_file"
group = "dmz"
credential = ["core", "spare"]
enabled = false
tags = ["edge", "berlin"]
id = "4711"
ssh = "legacy"
deadline_s = 240
jump = ["bastion", "inner"]
console = "oob"
console_line = "#port7"
options = { files = ["/etc/a", "/etc/b"], text = true }
[devices.old1]
platform = "cisco_ios"
transport = "telnet"
jump = []
"""
OLD = {"name": "old1", "platform": "cisco_ios", "transport": "TELNET", "jump": "-"}

Put = Callable[[Path], str]


def loaded(folder: Path, text: str, **layout: Any) -> list[Device]:
    path = folder / ("devices.csv" if layout else "devices.toml")
    path.write_text(text)
    inventory = {"path": path, "kept_dir": folder / "kept", **layout}
    found = load_inventory(Settings.model_validate({"inventory": inventory, "jumps": JUMPS}), PLATFORMS)
    assert [str(fault) for state in found.sources for fault in state.faults] == []
    return [replace(device, source="") for device in found]


def source(declaration: str) -> str:
    return f"[groups.dmz]\n[sources.other]\n{declaration}"


def as_csv(folder: Path) -> str:
    rows = [SAID, {key: OLD.get(key, "") for key in SAID}]
    quoted = [[f'''"{cell.replace('"', '""')}"''' for cell in row.values()] for row in rows]
    (folder / "list.csv").write_text("\n".join([",".join(SAID), *map(",".join, quoted)]))
    return source('kind = "file"\npath = "list.csv"')


def as_json(folder: Path) -> str:
    native = {**SAID, "port": 2207, "enabled": False, "credential": ["core", "spare"], "jump": ["bastion", "inner"]}
    told = {"options": json.loads(SAID["options"]), "deadline_s": 240, "tags": ["edge", "berlin"]}
    (folder / "list.json").write_text(json.dumps([{**native, **told}, {**OLD, "jump": ["-"]}]))
    return source('kind = "file"\npath = "list.json"')


def as_sql(folder: Path) -> str:
    columns = ", ".join(SAID)
    places = ", ".join("?" * len(SAID))
    with closing(sqlite3.connect(folder / "cmdb.db", isolation_level=None)) as database:
        database.execute(f"CREATE TABLE devices ({columns.replace('group', '[group]')})")
        for row in (SAID, OLD):
            database.execute(f"INSERT INTO devices VALUES ({places})", [row.get(key) for key in SAID])  # noqa: S608
    return source(f'kind = "sql"\nurl = "sqlite:///{folder}/cmdb.db"\nquery = "SELECT * FROM devices"')  # noqa: S608


def as_ini(folder: Path) -> str:
    hosts = [
        " ".join([row["name"], *(f"devicevault_{key}='{value}'" for key, value in row.items() if key != "name")])
        for row in (SAID, OLD)
    ]
    (folder / "hosts.ini").write_text("\n".join(hosts))
    return source('kind = "ansible"\npath = "hosts.ini"')


def as_yaml(folder: Path) -> str:
    hosts = {
        row["name"]: {f"devicevault_{key}": value for key, value in row.items() if key != "name"} for row in (SAID, OLD)
    }
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    return source('kind = "ansible"\npath = "hosts.yml"')


def test_a_column_stands_for_every_key() -> None:
    assert set(CSV_COLUMNS) == {"name", *DeviceEntry.model_fields} == set(SAID)


@pytest.mark.parametrize("put", [as_csv, as_json, as_sql, as_ini, as_yaml])
def test_a_source_says_what_the_table_says(tmp_path: Path, put: Put) -> None:
    assert loaded(tmp_path, put(tmp_path)) == loaded(tmp_path, TOML)


def test_a_row_says_what_the_table_says(tmp_path: Path) -> None:
    rows = "\n".join(
        "|".join(row.get(key, "") for key in CSV_COLUMNS) for row in ({**SAID, "enabled": "down"}, OLD)
    ).replace("\\", "")
    assert loaded(tmp_path, rows, csv_delimiter="|", csv_columns=CSV_COLUMNS) == loaded(tmp_path, TOML)


def test_one_option_has_a_column_of_its_own(tmp_path: Path) -> None:
    row = 'fw1|sftp_file|["/etc/a"]|true|sha256:00|\nfw2|sftp_file|/etc/a|||7'
    columns = ["name", "platform", "options.files", "options.text", "options.fingerprint", "options.slot"]
    one, two = loaded(tmp_path, row, csv_delimiter="|", csv_columns=columns)
    assert one.options == {"files": ["/etc/a"], "text": True, "fingerprint": "sha256:00"}
    assert two.options == {"files": "/etc/a", "slot": 7}
    (tmp_path / "list.csv").write_text("name,platform,options.files\nfw3,sftp_file,/etc/a\n")
    (three,) = loaded(tmp_path, source('kind = "file"\npath = "list.csv"'))
    assert three.options == {"files": "/etc/a"}


def test_an_emptied_selection_does_not_go_straight(tmp_path: Path) -> None:
    """A password goes past the group's jump host only where somebody says so."""
    (tmp_path / "list.json").write_text(json.dumps([{**OLD, "name": "a", "jump": []}, {**OLD, "name": "b"}]))
    text = source('kind = "file"\npath = "list.json"').replace("[groups.dmz]", '[defaults]\njump = "bastion"')
    assert [device.jump for device in loaded(tmp_path, text)] == [("bastion",), ()]


@pytest.mark.parametrize("place", ["custom_fields", "config_context"])
def test_netbox_says_what_the_table_says(tmp_path: Path, place: str) -> None:
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(TOKEN)

    def record(number: int, said: Mapping[str, Any]) -> dict[str, Any]:
        own = {f"devicevault_{key}": value for key, value in said.items() if key != "name"}
        plain: dict[str, Any] = {
            "platform": None,
            "tags": [],
            "site": None,
            "role": None,
            "primary_ip": {"address": "192.0.2.9/24"},
        }
        return device(number, name=said["name"], **{**plain, place: own})

    fields = "" if place == "custom_fields" else "fields = { "
    if fields:
        fields += ", ".join(f'{key} = "config_context.devicevault_{key}"' for key in SAID if key != "name") + " }"
    records = [record(1, SAID), record(2, {**OLD, "address": "old1"})]
    with web_server(devices=records) as server:
        told = loaded(tmp_path, source(f'kind = "netbox"\nurl = "{server.url}"\ntoken.file = "token"\n{fields}'))
        asked = server.asked[0][0]
    assert told == loaded(tmp_path, TOML)
    # NetBox works the context out anew for every device: it is asked for where it is needed alone.
    assert ("exclude=config_context" in asked) == (place == "custom_fields")
