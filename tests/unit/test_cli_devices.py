"""``devicevault devices`` lists and checks; the samples in ``etc`` are right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.credentials import CredentialStore
from devicevault.errors import ExitCode
from devicevault.inventory import load_inventory
from devicevault.platforms import Platforms
from devicevault.settings import Settings

ETC = Path(__file__).parents[2] / "etc"

INVENTORY = """
[defaults]
platform = "cisco_ios"
[groups.dmz]
[devices.core-sw1]
address = "192.0.2.1"
tags = ["core"]
[devices.edge-fw1]
address = "2001:db8::1"
port = 2222
platform = "fortinet_fortios"
group = "dmz"
enabled = false
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(
        f'credentials_file = "{tmp_path}/credentials.toml"\n[inventory]\npath = "{tmp_path}/devices.toml"\n'
    )
    (tmp_path / "devices.toml").write_text(INVENTORY)
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "config.toml"), "devices", *arguments])


def test_list_shows_each_device_on_a_line(folder: Path) -> None:
    result = run(folder, "list")
    assert result.exit_code == ExitCode.DONE, result.output
    lines = [line.split() for line in result.stdout.splitlines() if "-" in line and "──" not in line]
    assert lines == [
        ["core-sw1", "192.0.2.1", "cisco_ios", "default", "default", "core", "yes"],
        ["edge-fw1", "[2001:db8::1]:2222", "fortinet_fortios", "dmz", "default", "no"],
    ]


def test_list_as_json_holds_all_that_a_device_is(folder: Path) -> None:
    (device,) = json.loads(run(folder, "list", "--group", "dmz", "--json").stdout)
    assert device == {
        "name": "edge-fw1",
        "device_id": "edge-fw1",
        "address": "2001:db8::1",
        "platform": "fortinet_fortios",
        "port": 2222,
        "group": "dmz",
        "credentials": ["default"],
        "enabled": False,
        "tags": [],
        "options": {},
        "algorithms": None,
        "deadline_s": None,
        "jump": None,
        "transport": "ssh",
        "console": "",
        "console_line": "",
        "source": "",
    }


def test_list_tells_the_way_where_a_device_has_one_of_its_own(folder: Path) -> None:
    (folder / "devices.toml").write_text(
        '[defaults]\nplatform = "cisco_ios"\n[devices.a]\n[devices.b]\njump = ["bastion", "inner"]\n'
        'console = "oob"\nconsole_line = ":port7"\n[devices.c]\njump = []\ntransport = "telnet"\n'
    )
    lines = run(folder, "list").stdout.splitlines()
    assert [line[lines[0].index("Way") :].rstrip() for line in lines[2:5]] == [
        "",
        "bastion → inner, console oob:port7",
        "straight, telnet",
    ]


def test_list_of_an_unknown_tag_is_a_usage_error(folder: Path) -> None:
    result = run(folder, "list", "--tag", "cord")
    assert result.exit_code == ExitCode.USAGE
    assert "no device has the tag 'cord'; did you mean 'core'?" in result.stderr


def test_check_of_a_sound_inventory_says_what_was_not_checked(folder: Path) -> None:
    result = run(folder, "check")
    assert result.exit_code == ExitCode.DONE, result.output
    assert "2 devices, no fault" in result.stdout
    assert "by group: default 1, dmz 1" in result.stdout
    assert "credentials not checked" in result.stdout


def test_check_tells_faults_of_credentials_and_inventory_together(folder: Path) -> None:
    (folder / "devices.toml").write_text(INVENTORY.replace("cisco_ios", "cisco_iox"))
    (folder / "credentials.toml").write_text('[credentials.default]\npassword = "hunter2"\n')
    (folder / "credentials.toml").chmod(0o640)
    result = run(folder, "check")
    assert result.exit_code == ExitCode.CONFIGURATION
    assert re.findall(r"(\w+\.toml:\d+): (\S+):", result.stderr) == [
        ("credentials.toml:1", "credentials.default"),
        ("devices.toml:3", "defaults.platform"),
    ]
    as_json = run(folder, "check", "--json")
    assert as_json.exit_code == ExitCode.CONFIGURATION
    faults = json.loads(as_json.stdout)["faults"]
    assert [(fault["line"], fault["key"]) for fault in faults] == [(1, "credentials.default"), (3, "defaults.platform")]
    assert "hunter2" not in result.output + as_json.output


def test_check_knows_the_credentials_of_this_host(folder: Path) -> None:
    (folder / "credentials.toml").write_text('[credentials.lab]\nusername = "a"\npassword = "b"\n')
    (folder / "credentials.toml").chmod(0o640)
    result = run(folder, "check")
    assert result.exit_code == ExitCode.CONFIGURATION
    assert "the device names no credential, and there is none called 'default'" in result.stderr


def uncommented(sample: Path) -> str:
    """The sample with its examples switched on: lines that have no blank after the ``#``."""
    return re.sub(r"^#(?=[a-z\[])", "", sample.read_text(), flags=re.MULTILINE)


def test_check_tells_what_a_devices_page_needs_and_it_does_not_say(folder: Path) -> None:
    (folder / "devices.toml").write_text(
        '[defaults]\nplatform = "sftp_file"\n[devices.a]\n[devices.b]\noptions.files = "/etc/b"\n'
        '[devices.c]\nplatform = "f5_ucs"\ntransport = "telnet"\n'
    )
    result = run(folder, "check")
    assert result.exit_code == ExitCode.CONFIGURATION
    first, second = result.stderr.strip().splitlines()
    assert first.endswith('can\'t know; give it options.files = ["..."] in the inventory')
    assert "devices.toml: devices.a.options: the device does not say what to fetch" in first
    assert "devices.c.platform: f5_ucs is read by a plugin, which knows neither telnet nor console" in second


def test_the_samples_are_right_as_they_are_and_with_their_examples_switched_on(tmp_path: Path) -> None:
    for devices, credentials in (
        ((ETC / "devices.toml").read_text(), (ETC / "credentials.toml").read_text()),
        (uncommented(ETC / "devices.toml"), uncommented(ETC / "credentials.toml")),
    ):
        (tmp_path / "devices.toml").write_text(devices)
        (tmp_path / "credentials.toml").write_text(credentials)
        (tmp_path / "credentials.toml").chmod(0o640)
        store = CredentialStore.load(tmp_path / "credentials.toml")
        settings = Settings.model_validate({"inventory": {"path": tmp_path / "devices.toml"}})
        inventory = load_inventory(settings, Platforms.load(None).names(), store.names() or None)
    assert store.names() == ("default", "dmz", "branch", "core", "old-telnet")
    assert [device.name for device in inventory] == ["core-sw1", "edge-fw1", "old-sw7"]


SOURCED = INVENTORY + '[sources.list]\nkind = "file"\npath = "list.json"\n'


def write_list(folder: Path, *names: str, platform: str = "linux") -> None:
    (folder / "list.json").write_text(json.dumps([{"name": name, "platform": platform} for name in names]))


@pytest.fixture
def sourced(folder: Path) -> Path:
    """A folder whose inventory has a source with eight devices, which was read once."""
    (folder / "devices.toml").write_text(SOURCED)
    with (folder / "config.toml").open("a") as config:
        config.write(f'kept_dir = "{folder}/kept"\n')
    write_list(folder, *"abcdefgh")
    result = run(folder, "check")
    assert result.exit_code == ExitCode.DONE, result.output
    assert "10 devices, no fault" in result.stdout
    assert "source list: 8 devices, answered just now" in result.stdout
    return folder


def test_list_tells_which_source_knows_a_device(sourced: Path) -> None:
    lines = [line.split() for line in run(sourced, "list").stdout.splitlines()]
    assert lines[0] == ["Device", "Address", "Platform", "Group", "Credential", "Tags", "Source", "Enabled"]
    assert ["a", "a", "linux", "default", "default", "list", "yes"] in lines
    found = json.loads(run(sourced, "list", "--json").stdout)
    assert {device["name"]: device["source"] for device in found}["core-sw1"] == ""
    assert {device["source"] for device in found} == {"", "list"}


def test_check_asks_the_sources_anew_and_tells_one_that_is_away(sourced: Path) -> None:
    (sourced / "list.json").unlink()
    result = run(sourced, "check")
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "10 devices, no fault" in result.stdout
    assert "warning: source list: " in result.stderr
    assert "can't be read: No such file or directory; its last good answer, of 20" in result.stderr
    report = run(sourced, "check", "--json")
    assert report.exit_code == ExitCode.UNAVAILABLE
    (source,) = json.loads(report.stdout)["sources"]
    assert (source["source"], source["devices"]) == ("list", 8)
    assert "No such file" in source["trouble"]
    assert len(json.loads(run(sourced, "list", "--json").stdout)) == 10


def test_check_tells_the_faults_in_what_a_source_says(sourced: Path) -> None:
    write_list(sourced, *"abcdefgh", "i i")
    result = run(sourced, "check")
    assert result.exit_code == ExitCode.CONFIGURATION
    assert "error: sources.list: \"i i\": 'i i' can't be a device's name" in result.stderr
    assert "source list: 8 devices" in result.stdout
    for more in ((), ("--json",)):
        listed = run(sourced, "list", *more)
        assert listed.exit_code == ExitCode.DONE
        assert listed.stderr == "warning: source list: 1 fault in what it says; see: devicevault devices check\n"
        assert "i i" not in listed.stdout


def test_an_inventory_that_was_never_complete_is_a_service_that_is_away(folder: Path) -> None:
    (folder / "devices.toml").write_text(SOURCED)
    with (folder / "config.toml").open("a") as config:
        config.write(f'kept_dir = "{folder}/kept"\n')
    for command in ("check", "list"):
        result = run(folder, command)
        assert result.exit_code == ExitCode.UNAVAILABLE
        assert "sources.list: " in result.stderr
        assert "nothing is kept from earlier" in result.stderr


def test_a_source_that_lost_much_waits_for_a_person(sourced: Path) -> None:
    write_list(sourced, "a")
    refused = run(sourced, "check")
    assert refused.exit_code == ExitCode.UNAVAILABLE
    assert "it tells of 1 device, and told of 8" in refused.stderr
    assert "if that is right: devicevault devices accept list" in refused.stderr
    wrong = run(sourced, "accept", "lst")
    assert wrong.exit_code == ExitCode.USAGE
    assert "the inventory has no source 'lst'; did you mean 'list'?" in wrong.stderr
    accepted = run(sourced, "accept", "list")
    assert accepted.exit_code == ExitCode.DONE, accepted.output
    assert "source list: 1 device, answered just now" in accepted.stdout
    assert "3 devices, no fault" in run(sourced, "check").stdout
