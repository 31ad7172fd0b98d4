"""How a device is reached, as the inventory says: jumps, console servers, telnet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devicevault.dispatch import Run, build_request
from devicevault.errors import ConfigurationError
from devicevault.inventory import Inventory, load_inventory
from devicevault.messages import CollectRequest
from devicevault.settings import JumpSettings, Settings

JUMPS = {name: JumpSettings(address="192.0.2.1", credential="hop") for name in ("bastion", "inner")}


def loaded(folder: Path, text: str, jumps: dict[str, JumpSettings] | None = None) -> Inventory:
    path = folder / "devices.toml"
    path.write_text('[defaults]\nplatform = "cisco_ios"\n' + text)
    settings = Settings.model_validate({"inventory": {"path": path}, "jumps": jumps or {}})
    return load_inventory(settings, {"cisco_ios"}, {"default", "oob"})


def faults(folder: Path, text: str, jumps: dict[str, JumpSettings] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, text, jumps)
    return [str(fault).split("devices.toml", 1)[1] for fault in caught.value.faults]


def requested(inventory: Inventory, name: str) -> CollectRequest:
    run = Run("run", "ann", "manual", datetime.now(UTC))
    request = build_request(inventory.get(name), run, Settings())
    return CollectRequest.from_wire(request.to_wire())


def test_a_way_comes_from_the_device_its_group_or_the_workers_settings(tmp_path: Path) -> None:
    inventory = loaded(
        tmp_path,
        '[groups.dmz]\njump = ["bastion", "inner"]\n[devices.a]\n[devices.b]\ngroup = "dmz"\n'
        '[devices.c]\ngroup = "dmz"\njump = "bastion"\n[devices.d]\ngroup = "dmz"\njump = []\n',
        JUMPS,
    )
    ways = {name: requested(inventory, name).jump for name in "abcd"}
    assert ways == {"a": None, "b": ("bastion", "inner"), "c": ("bastion",), "d": ()}


def test_a_jump_that_is_nowhere_is_a_fault_where_jumps_are_known(tmp_path: Path) -> None:
    text = '[groups.dmz]\njump = "bastoin"\n[devices.a]\ngroup = "dmz"\n[devices.b]\ngroup = "dmz"\n'
    assert faults(tmp_path, text, JUMPS) == [":4: groups.dmz.jump: unknown jump 'bastoin'; did you mean 'bastion'?"]
    # On a vault whose workers are elsewhere, their jumps may be unknown.
    assert requested(loaded(tmp_path, text), "a").jump == ("bastoin",)


def test_telnet_has_a_port_of_its_own_and_belongs_to_one_device(tmp_path: Path) -> None:
    inventory = loaded(tmp_path, '[devices.a]\ntransport = "telnet"\n[devices.b]\ntransport = "telnet"\nport = 2007\n')
    told = [(request.transport, request.port) for request in map(requested, (inventory, inventory), "ab")]
    assert told == [("telnet", 23), ("telnet", 2007)]
    assert "transport: unknown key" in faults(tmp_path, '[groups.dmz]\ntransport = "telnet"\n')[0]
    assert "transport: unknown key" in faults(tmp_path, 'transport = "telnet"\n')[0]
    assert "must be one of" in faults(tmp_path, '[devices.a]\ntransport = "rlogin"\n')[0]


def test_a_console_server_is_logged_in_to_with_a_credential_of_its_own(tmp_path: Path) -> None:
    text = '[groups.oob]\nconsole = "oob"\n[devices.a]\ngroup = "oob"\nconsole_line = ":port7"\nport = 3007\n'
    request = requested(loaded(tmp_path, text), "a")
    assert (request.console, request.console_line, request.credentials) == ("oob", ":port7", ("default",))


def test_a_wrong_console_is_told_once(tmp_path: Path) -> None:
    (told,) = faults(tmp_path, '[devices.a]\nconsole = "obo"\nconsole_line = ":port7"\n')
    assert "unknown credential 'obo'" in told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('console = "obo"', "unknown credential 'obo'; did you mean 'oob'"),
        ('console_line = ":port7"', "there is no console server"),
        ('console = "oob"\ntransport = "telnet"', "leave console out"),
        ('console = "oob"\nconsole_line = "a\\nb"', "can't be a console server's line"),
        ('jump = ["A B"]', "can't be a jump's name"),
    ],
)
def test_what_can_not_be_is_a_fault(tmp_path: Path, lines: str, told: str) -> None:
    assert told in faults(tmp_path, f"[devices.a]\n{lines}\n")[0]
