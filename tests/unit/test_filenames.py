"""File names of exports and of the mirror: safe, and never two devices in one file."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from devicevault.outputs.filenames import path_of, safe_name

HOSTILE = [
    "..",
    ".",
    "",
    "/etc/passwd",
    "../../etc/passwd",
    ".git",
    "-rf",
    "a b",
    "a/b",
    "a%2Fb",
    "a\\b",
    "a\nb",
    "a\0b",
    "Café",
    "Cafe\N{COMBINING ACUTE ACCENT}",
    "核心-sw1",
    "x" * 300,
    "x" * 301,
    "é" * 200,
    "\udc80",
    "sw1+startup",
    "sw1",
    "C:con",
    "~root",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stays_in_its_folder_and_can_be_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / path_of(name, name)
    assert Path(os.path.normpath(path)) == path
    assert path.parent.parent == tmp_path
    assert not path.name.startswith((".", "-"))
    path.parent.mkdir()
    path.touch()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_no_two_names_share_a_file() -> None:
    for one, other in itertools.combinations(HOSTILE, 2):
        assert safe_name(one) != safe_name(other)
    further = [path_of("g", "sw1", artifact, is_main=False) for artifact in ("startup", "vdom root", "a+b")]
    assert len({*further, path_of("g", "sw1"), path_of("g", "sw1+startup")}) == 5


def test_ordinary_names_stay_as_they_are() -> None:
    assert str(path_of("dmz", "core-sw1.example.net")) == "dmz/core-sw1.example.net.cfg"
    assert str(path_of("dmz", "Zürich-sw1")) == "dmz/Zürich-sw1.cfg"
    assert str(path_of("dmz", "sw1", "startup", is_main=False)) == "dmz/sw1+startup.cfg"


@pytest.mark.parametrize(
    ("artifact", "media_type", "name"),
    [
        ("backup.ucs", "application/octet-stream", "lb1.ucs"),
        ("backup.tar.gz", "application/gzip", "lb1.tar.gz"),
        ("backup", "application/zip", "lb1.zip"),
        ("flash", "application/octet-stream", "lb1.bin"),
        ("running", "application/json", "lb1.json"),
        ("running", "text/plain; charset=utf-8", "lb1.cfg"),
    ],
)
def test_a_file_keeps_its_own_ending(artifact: str, media_type: str, name: str) -> None:
    assert path_of("g", "lb1", artifact, media_type).name == name
