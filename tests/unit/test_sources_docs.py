"""What the pages on sources and on moving here say is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import tomli

from devicevault.cli.import_devices import import_devices
from devicevault.errors import Fault
from devicevault.inventory.known import Known
from devicevault.inventory.sources import declared
from devicevault.inventory.sources.declared import KINDS
from devicevault.inventory.sources.netbox import NetBoxTable
from devicevault.inventory.sources.table import SourceTable
from devicevault.inventory.sources.web import WebTable
from devicevault.platforms import Platforms
from tests.unit.test_inventory_docs import DOCS, examples

PAGE = (DOCS / "inventory.md").read_text()
SOURCES = PAGE[PAGE.index("## Sources") :]
DECLARED = [text for text in examples("inventory.md") if "[sources." in text]


def keys_explained(after: str) -> set[str]:
    """The keys in the first column of the first table behind a text."""
    table = SOURCES[SOURCES.index(after) :].split("| key |", 1)[1].split("\n\n", 1)[0]
    return {re.match(r"\| `(\w+)`", line)[1] for line in table.splitlines()[2:]}  # type: ignore[index]


def test_every_key_of_every_kind_is_explained() -> None:
    common = set(SourceTable.model_fields)
    assert keys_explained("## Sources") == common
    assert keys_explained("### NetBox") == {"url", "token", "filter", "endpoints", "ca_file"}
    for kind, table in KINDS.items():
        missing = {key for key in table.model_fields if f"`{key}`" not in SOURCES and f"{key} = " not in SOURCES}
        assert (kind, missing) == (kind, set())


def test_the_defaults_in_the_tables_are_those_that_count() -> None:
    for key, default in re.findall(r"^\| `(?!devicevault_)(\w+)` \| `?([^`|]+)`? \|", SOURCES, re.MULTILINE):
        field = {**SourceTable.model_fields, **NetBoxTable.model_fields, **WebTable.model_fields}[key]
        value = field.get_default()
        if default.strip() not in ("needed", "none", "by kind", "the system's"):
            assert tomli.loads(f"value = {default}")["value"] == value


@pytest.mark.parametrize("text", DECLARED)
def test_the_sources_of_the_page_can_be_declared(text: str) -> None:
    data = tomli.loads(text)
    known = Known(Platforms.load(None).names(), None, {*data.get("groups", {}), "emea"})
    faults: list[Fault] = []
    for name, table in data["sources"].items():
        assert declared(name, table, Path("/"), known, lambda key, problem, fix: Fault(key, problem, fix), faults)
    assert faults == []


def test_the_page_on_moving_shows_every_program_and_names_no_option_there_is_not() -> None:
    page = (DOCS / "moving.md").read_text()
    options = {option for parameter in import_devices.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z][a-z-]+", page)) - options == {"--inline", "--now", "--tag"}
    (choice,) = [one.type for one in import_devices.params if one.name == "kind"]
    assert set(re.findall(r"--from (\w+)", page)) == set(choice.choices)  # type: ignore[attr-defined]


def test_links_of_the_pages_lead_somewhere() -> None:
    for text in (SOURCES, (DOCS / "moving.md").read_text()):
        for target in re.findall(r"\]\(([\w-]+\.md)[)#]", text):
            assert (DOCS / target).is_file(), target


def test_the_kinds_on_the_page_are_all_there_are() -> None:
    assert {get_args(table.model_fields["kind"].annotation)[0] for table in KINDS.values()} == set(KINDS)
    assert set(re.findall(r'kind = "(\w+)"', SOURCES)) == set(KINDS)
