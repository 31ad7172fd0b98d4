"""What the pages on inventory and credentials say is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tomli

from devicevault.credentials import CredentialStore, entry
from devicevault.inventory import load_inventory
from devicevault.inventory.entry import DefaultsEntry, DeviceEntry, GroupEntry
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.settings.schema import CSV_COLUMNS

DOCS = Path(__file__).parents[2] / "docs"


def examples(page: str) -> list[str]:
    return re.findall(r"```toml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    text = (DOCS / page).read_text()
    table = text[text.index(f"| {heading} |") :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_key_of_a_device_is_explained_where_it_may_stand() -> None:
    places = {row[0].strip("`"): row[3] for row in rows("inventory.md", "key")}
    assert places == {
        key: "everywhere"
        if key in GroupEntry.model_fields
        else "device, defaults"
        if key in DefaultsEntry.model_fields
        else "device"
        for key in DeviceEntry.model_fields
    }


def test_every_column_is_explained() -> None:
    explained = " ".join(row[0] for row in rows("inventory.md", "column"))
    assert set(re.findall(r"`([a-z_]+)`", explained)) == set(CSV_COLUMNS)
    fields = " ".join(row[0] for row in rows("inventory.md", "custom field"))
    assert set(re.findall(r"`devicevault_([a-z_]+)`", fields)) == {*DeviceEntry.model_fields}


def test_the_rows_of_the_page_load(tmp_path: Path) -> None:
    text = (DOCS / "inventory.md").read_text()
    index = next(at for at, example in enumerate(examples("inventory.md")) if "console_line" in example)
    layout: dict[str, Any] = tomli.loads(examples("inventory.md")[index])["inventory"]
    layout["path"] = tmp_path / "devices.csv"
    layout["path"].write_text(re.search(r"```\n(oob-sw1;.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    devices = load_inventory(Settings.model_validate({"inventory": layout}), Platforms.load(None).names())
    told = [(one.transport, one.port, one.algorithms, one.jump, one.console, one.console_line) for one in devices]
    assert told == [
        ("ssh", 22, None, None, "oob", ":port7"),
        ("ssh", 22, "legacy", ("bastion", "inner"), "", ""),
        ("telnet", 23, None, (), "", ""),
    ]


def test_the_inventory_of_the_page_loads(tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(examples("inventory.md")[0])
    settings = Settings.model_validate({"inventory": {"path": path}})
    fw = load_inventory(settings, Platforms.load(None).names(), ("default", "dmz")).get("edge-fw1")
    assert (fw.tags, fw.credentials, fw.group) == (("production", "firewall"), ("dmz",), "dmz")


ROUTER_DBS = [
    ("rtr1:ios:core\n", "rtr1", "cisco_ios"),
    ("rtr1:192.0.2.1:junos:user:password\n", "192.0.2.1", "juniper_junos"),
    ("rtr1;cisco-nx;up;comment\n", "rtr1", "cisco_nxos"),
]


@pytest.mark.parametrize(("index", "router_db"), list(enumerate(ROUTER_DBS, start=1)))
def test_router_db_files_load_with_the_settings_of_the_page(
    tmp_path: Path, index: int, router_db: tuple[str, str, str]
) -> None:
    text, address, platform = router_db
    layout: dict[str, Any] = tomli.loads(examples("inventory.md")[index])["inventory"]
    layout["path"] = tmp_path / "router.db"
    layout["path"].write_text(text)
    (device,) = load_inventory(Settings.model_validate({"inventory": layout}), Platforms.load(None).names())
    assert (device.name, device.address, device.platform) == ("rtr1", address, platform)


def test_the_credentials_of_the_page_load(tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    names: list[str] = []
    for text in examples("credentials.md"):
        path.write_text(text)
        path.chmod(0o640)
        names += CredentialStore.load(path).names()
    assert names == ["default", "dmz", "core"]


def test_every_key_of_a_credential_is_explained() -> None:
    assert {row[0].strip("`") for row in rows("credentials.md", "key")} == set(entry.KEYS)
