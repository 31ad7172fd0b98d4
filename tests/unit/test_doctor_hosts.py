"""How the doctor judges workers by their heartbeats, and this host by its units."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import devicevault
from devicevault import names
from devicevault.doctor import State
from devicevault.doctor.units import judge_socket, judge_timers, judge_units
from devicevault.doctor.workers import Vault, judge_worker
from devicevault.heartbeat import Heartbeat
from devicevault.inventory import Inventory, load_inventory
from devicevault.platforms import Platforms
from devicevault.settings import GroupSettings, InventorySettings, Settings
from devicevault.systemctl import parsed

NOW = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
PLATFORMS = Platforms.load(None)


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    path = tmp_path / "devices.toml"
    device = 'platform = "cisco_ios"\ngroup = "dmz"\naddress = "192.0.2.1"\ncredential = "lab"\n'
    other = device.replace("dmz", "core").replace("lab", "secret-core")
    path.write_text(
        f"[devices.r1]\n{device}[devices.r2]\n{device}[devices.off]\nenabled = false\n"
        f"{device.replace('lab', 'unused')}[devices.c1]\n{other}"
    )
    settings = Settings(
        inventory=InventorySettings(path=path), groups={"dmz": GroupSettings(), "core": GroupSettings()}
    )
    return load_inventory(settings, PLATFORMS.names(), None)


def judged(inventory: Inventory, own_key: str = "plain", **told: Any) -> list[tuple[State, str]]:
    beat = Heartbeat.model_validate(
        {
            "worker": "dmz@far",
            "groups": ("dmz",),
            "version": devicevault.__version__,
            "started_at": NOW - timedelta(hours=1),
            "seen_at": NOW,
            "credentials": ("lab",),
            "platforms": {page.name: page.digest for page in PLATFORMS},
            "key_id": "plain",
            "results_stream": names.RESULTS_STREAM,
            **told,
        }
    )
    vault = Vault(inventory, PLATFORMS, own_key, names.RESULTS_STREAM)
    return [(finding.state, finding.text) for finding in judge_worker(beat, NOW, vault)]


def test_a_worker_with_everything_its_devices_need_is_well(inventory: Inventory) -> None:
    """What only other groups' devices and disabled ones need, it need not have."""
    ((state, text),) = judged(inventory)
    assert state is State.OK
    assert "dmz@far" in text


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ({"version": "0.0.9"}, State.WARNING, "runs release 0.0.9"),
        ({"credentials": ()}, State.FAULT, "no credential 'lab', which 2 of its devices need"),
        ({"platforms": {}}, State.FAULT, "no page for platform cisco_ios"),
        ({"platforms": {"cisco_ios": "sha256:other"}}, State.WARNING, "another page for platform cisco_ios"),
        ({"results_stream": "elsewhere"}, State.FAULT, "into elsewhere; this vault reads device:results"),
        ({"seen_at": NOW - timedelta(minutes=10)}, State.WARNING, "not heard of for 600 s"),
    ],
)
def test_what_a_worker_lacks_is_named(inventory: Inventory, told: dict[str, Any], state: State, words: str) -> None:
    ((found, text),) = judged(inventory, **told)
    assert found is state
    assert words in text


def test_a_worker_with_another_vaults_key_or_none_is_a_fault(inventory: Inventory) -> None:
    assert judged(inventory, own_key="ours", key_id="ours")[0][0] is State.OK
    assert judged(inventory, own_key="ours", key_id="theirs")[0] == (
        State.FAULT,
        "dmz@far seals originals with key theirs; this vault's key is ours",
    )
    assert "does not seal" in judged(inventory, own_key="ours")[0][1]


#: As systemd 252 says it.
SHOWN = """\
Id=devicevault-consumer.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
ExecMainStatus=0
NRestarts=0

Id=devicevault-worker@dmz.service
LoadState=loaded
ActiveState=failed
SubState=failed
Result=exit-code
ExecMainStatus=78
NRestarts=0

Id=devicevault-worker@core.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
Result=exit-code
ExecMainStatus=75
NRestarts=12

Id=devicevault-flower.service
LoadState=loaded
ActiveState=inactive
SubState=dead
Result=success
ExecMainStatus=0
NRestarts=0
"""


def test_units_that_failed_are_told_with_their_last_exit() -> None:
    found = [(finding.state, finding.text) for finding in judge_units(parsed(SHOWN))]
    assert found == [
        (State.FAULT, "devicevault-worker@dmz.service failed: exit-code, exit code 78"),
        (State.FAULT, "devicevault-worker@core.service ends again and again: exit-code, exit code 75"),
        (State.OK, "running: devicevault-consumer"),
    ]


def timer(group: str, state: str = "active", load: str = "loaded") -> dict[str, str]:
    return {"Id": f"devicevault-collect@{group}.timer", "LoadState": load, "ActiveState": state}


def test_a_group_without_a_timer_is_named_with_the_command_that_gives_it_one() -> None:
    found = list(judge_timers(["core", "dmz"], [timer("core"), timer("dmz", "inactive")]))
    assert [finding.state for finding in found] == [State.WARNING, State.OK]
    assert found[0].fix == "systemctl enable --now devicevault-collect@dmz.timer"
    assert "core" in found[1].text


def test_where_the_package_is_not_installed_nothing_is_said_of_timers() -> None:
    assert list(judge_timers(["dmz"], [timer("dmz", "inactive", "not-found")])) == []


def test_a_socket_that_failed_is_a_fault_and_one_that_was_never_wanted_is_nothing() -> None:
    told = {
        state: list(judge_socket([{"LoadState": "loaded", "ActiveState": state, "Result": "service-start-limit-hit"}]))
        for state in ("active", "inactive", "failed")
    }
    assert ([one.state for one in told["active"]], told["inactive"]) == ([State.OK], [])
    [fault] = told["failed"]
    assert fault.state is State.FAULT
    assert "service-start-limit-hit" in fault.text
    assert "; systemctl restart devicevault-syslog.socket" in fault.fix
