"""A device that is not in the inventory goes the way that its group's devices go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devicevault.errors import ConfigurationError, UsageError
from devicevault.inventory import Device
from devicevault.inventory.newcomer import newcomer
from devicevault.settings import Settings

INVENTORY = """
[defaults]
credential = "core"
tags = ["production"]
[groups.branch]
jump = ["bastion"]
algorithms = "legacy"
port = 2222
[sources.cmdb]
kind = "http"
url = "http://127.0.0.1:9/nobody-is-asked"
"""


def found(folder: Path, text: str | None, **said: Any) -> Device:
    path = folder / "devices.toml"
    if text is not None:
        path.write_text(text)
    settings = Settings.model_validate({"inventory": {"path": path}, "groups": {"lab": {}}})
    return newcomer(settings, {"cisco_ios"}, ("core", "lab"), **{"address": "2001:db8::1", "credential": "lab", **said})


def test_what_its_group_has_counts_and_its_own_credential(tmp_path: Path) -> None:
    device = found(tmp_path, INVENTORY, group="branch")
    assert (device.jump, device.algorithms, device.port, device.group) == (("bastion",), "legacy", 2222, "branch")
    assert (device.credentials, device.address, device.platform) == (("lab",), "2001:db8::1", "")
    assert found(tmp_path, INVENTORY, group="branch", port=22).port == 22
    assert found(tmp_path, INVENTORY).jump is None


def test_the_group_of_the_defaults_is_taken_where_none_is_said(tmp_path: Path) -> None:
    assert found(tmp_path, '[defaults]\ngroup = "lab"\n').group == "lab"
    assert found(tmp_path, "").group == "default"


def test_an_inventory_need_not_be_there_yet_and_must_not_be_broken(tmp_path: Path) -> None:
    assert found(tmp_path, None, group="lab", transport="telnet").port == 23
    with pytest.raises(ConfigurationError):
        found(tmp_path, "[defaults\n")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"group": "brunch"}, "there is no group 'brunch'; did you mean 'branch'?"),
        ({"credential": "cor"}, "there is no credential 'cor' in /etc/devicevault/credentials.toml; did you mean 'co"),
        ({"address": "[2001:db8::1]"}, "has brackets; write the IPv6 address bare"),
        ({"address": "192.0.2.1:22"}, "has a port in it"),
    ],
)
def test_what_can_not_be_is_told_before_anybody_connects(tmp_path: Path, said: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        found(tmp_path, INVENTORY, **said)
    assert told in str(caught.value)
