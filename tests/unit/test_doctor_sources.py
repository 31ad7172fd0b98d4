"""What the doctor says of an inventory's sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devicevault.doctor import Finding, State
from devicevault.doctor.files import look_at_inventory
from devicevault.errors import ExitCode
from devicevault.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "devices.toml").write_text('[sources.list]\nkind = "file"\npath = "list.json"\n')
    return tmp_path


def findings(folder: Path) -> list[Finding]:
    return list(
        look_at_inventory(
            Settings.model_validate(
                {
                    "credentials_file": folder / "none.toml",
                    "platforms_dir": folder / "none",
                    "inventory": {"path": folder / "devices.toml", "kept_dir": folder / "kept"},
                }
            )
        )
    )


def write_list(folder: Path, *platforms: str) -> None:
    (folder / "list.json").write_text(json.dumps([{"name": f"r{n}", "platform": p} for n, p in enumerate(platforms)]))


def test_a_source_that_answers_is_well(folder: Path) -> None:
    write_list(folder, "linux")
    assert [(found.state, found.text) for found in findings(folder)] == [
        (State.OK, f"{folder}/devices.toml: 1 device in 1 group"),
        (State.OK, "source list: 1 device"),
    ]


def test_a_source_that_is_away_is_a_warning_as_long_as_its_last_answer_is_known(folder: Path) -> None:
    write_list(folder, "linux", "linux")
    findings(folder)
    (folder / "list.json").unlink()
    whole, source = findings(folder)
    assert (whole.state, whole.text) == (State.OK, f"{folder}/devices.toml: 2 devices in 1 group")
    assert source.state is State.WARNING
    assert "No such file or directory; its last good answer, of 20" in source.text


def test_a_source_that_never_answered_is_a_fault(folder: Path) -> None:
    (found,) = findings(folder)
    assert (found.state, found.exit_code) == (State.FAULT, ExitCode.UNAVAILABLE)
    assert "nothing is kept from earlier" in found.text


def test_devices_that_are_left_out_are_a_warning(folder: Path) -> None:
    write_list(folder, "linux", "toaster", "kettle")
    _, source = findings(folder)
    assert source.state is State.WARNING
    assert source.text.startswith(
        "source list: 2 faults, such as sources.list: r1.platform: unknown platform 'toaster'"
    )
    assert source.fix == "see: devicevault devices check"
