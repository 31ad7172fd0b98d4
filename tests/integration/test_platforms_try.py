"""``devicevault platforms try`` and ``check``: a dry run on a device, kept in a file, judged again from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.demo.configurations import configuration_for, secrets_of
from devicevault.demo.dialects import DIALECTS
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.errors import ExitCode
from tests.apis import api
from tests.collecting import CREDENTIALS
from tests.integration.test_plugin_https import CREDENTIALS as API_CREDENTIALS
from tests.integration.test_plugin_https import fortigate


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    devices = [
        SimulatedDevice(
            platform.replace("_", "-"),
            platform,
            configuration_for(platform, platform.replace("_", "-"), size_kb=2, seed=7),
            enable="open sesame",
        )
        for platform in DIALECTS
    ]
    with Fleet(devices) as served:
        yield served


@pytest.fixture
def site(tmp_path: Path, fleet: Fleet) -> Path:
    (tmp_path / "config.toml").write_text(
        f'database_url = "sqlite:///{tmp_path}/vault.db"\ncredentials_file = "{tmp_path}/credentials.toml"\n'
        f'[inventory]\npath = "{tmp_path}/devices.toml"\n[ssh]\nattempts = 1\n'
    )
    (tmp_path / "credentials.toml").write_text(CREDENTIALS)
    (tmp_path / "credentials.toml").chmod(0o600)
    (tmp_path / "devices.toml").write_text(
        '[defaults]\ncredential = "lab"\n'
        + "".join(
            f'[devices.{device.name}]\naddress = "{fleet.address}"\nport = {fleet.port(device.name)}\n'
            f'platform = "{device.platform}"\n'
            for device in fleet
        )
    )
    return tmp_path


@pytest.mark.parametrize("platform", DIALECTS)
def test_a_new_device_is_recognised(platform: str, site: Path, fleet: Fleet) -> None:
    port = str(fleet.port(platform.replace("_", "-")))
    arguments = ["devices", "detect", fleet.address, "--port", port, "--credential", "lab"]
    found = CliRunner().invoke(main, ["--config", str(site / "config.toml"), *arguments, "--json"])
    report = json.loads(found.stdout)
    best = [each["platform"] for each in report["platforms"] if each["weight"] == report["platforms"][0]["weight"]]
    assert (found.exit_code, found.stderr) == (ExitCode.DONE, "")
    assert platform in best
    assert report["banner"].startswith("SSH-2.0-AsyncSSH")
    assert fleet.changes == []
    assert not (site / "vault.db").exists()
    told = CliRunner().invoke(main, ["--config", str(site / "config.toml"), *arguments]).stdout
    assert f'[devices.NAME]\naddress = "{fleet.address}"\nport = {port}\nplatform = ' in told


def test_nothing_is_asked_of_a_device_that_shows_no_prompt(site: Path, fleet: Fleet) -> None:
    device = fleet["cisco-ios"]
    device.fault = "no_prompt"
    (site / "config.toml").write_text((site / "config.toml").read_text() + "deadline_s = 20\n")
    arguments = ["devices", "detect", fleet.address, "--port", str(fleet.port("cisco-ios")), "--credential", "lab"]
    found = CliRunner().invoke(main, ["--config", str(site / "config.toml"), *arguments])
    assert found.exit_code == ExitCode.DEVICES_FAILED
    assert device.commands == []


def devicevault(site: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(site / "config.toml"), "platforms", *arguments])


@pytest.mark.parametrize("platform", DIALECTS)
def test_a_session_is_tried_kept_and_judged_again(platform: str, site: Path, fleet: Fleet) -> None:
    name = platform.replace("_", "-")
    kept = site / "kept.toml"

    tried = devicevault(site, "try", name, "--capture", str(kept))
    assert (tried.exit_code, tried.stderr) == (ExitCode.DONE, "")
    assert ": whole: " in tried.stdout
    assert fleet.changes == []
    assert not (site / "vault.db").exists()

    assert kept.stat().st_mode & 0o777 == 0o600
    secrets = [*secrets_of(platform, name, seed=7), "correct horse", "open sesame"]
    assert [secret for secret in secrets if secret in kept.read_text() + tried.stdout] == []

    if DIALECTS[platform].user_prompt:
        assert 'enable_asks = "Password: "' in kept.read_text()
    judged = devicevault(site, "check", str(kept))
    assert judged.exit_code == ExitCode.DONE, judged.output
    assert "cut at 20 places, it was never taken for whole" in judged.stdout


def test_a_trial_tells_prompt_commands_what_went_and_what_is_whole(site: Path) -> None:
    trial = json.loads(devicevault(site, "try", "cisco-ios", "--json").stdout)
    assert trial["whole"] is True
    assert trial["prompt"] == "cisco-ios#"
    assert [each["command"] for each in trial["commands"]][:2] == ["terminal length 0", "terminal width 0"]
    assert all(each["seconds"] > 0 for each in trial["commands"])
    [running, *_] = trial["artifacts"]
    assert running["name"] == "running"
    assert running["why"] == "ends with 'end'"
    assert running["hidden"] > 0
    [written] = running["left_out"]["^! NVRAM config last updated at "]
    assert written.startswith("! NVRAM config last updated at ")
    assert trial["facts"]["model"] == "C9200L-24P-4G"


def test_a_page_that_does_not_fit_is_told_with_what_came(site: Path, fleet: Fleet) -> None:
    tried = devicevault(site, "try", "cisco-ios", "--platform", "juniper_junos")
    assert tried.exit_code == ExitCode.DEVICES_FAILED
    assert "running: not whole: " in tried.stdout
    assert "prompt: cisco-ios>" in tried.stdout
    assert fleet.changes == []


def test_a_configuration_that_is_cut_is_told(site: Path, fleet: Fleet) -> None:
    fleet["cisco-ios"].fault = "cut"
    tried = devicevault(site, "try", "cisco-ios")
    assert tried.exit_code == ExitCode.DEVICES_FAILED
    assert "running: not whole: the output is not a whole configuration: it does not end with 'end'" in tried.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("try", "nowhere"), "nowhere"),
        (("try", "cisco-*", "--platform", "cisco_iso"), "is 3 devices"),
        (("try", "cisco-ios", "--platform", "cisco_iso"), "did you mean 'cisco_ios'"),
        (("try", "cisco-ios", "--platform", "noop"), "noop is no device"),
        (("try", "cisco-ios", "--capture", "/nowhere/x.toml"), "/nowhere/x.toml can't be written: No such file"),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments: tuple[str, ...], told: str, site: Path) -> None:
    result = devicevault(site, *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert told in result.stderr


@pytest.fixture
def firewall(tmp_path: Path) -> Iterator[Path]:
    """A site with one device that a plugin reads, and a page of its own that does not fit."""
    with api(tmp_path, fortigate) as server:
        (tmp_path / "config.toml").write_text(
            f'database_url = "sqlite:///{tmp_path}/vault.db"\ncredentials_file = "{tmp_path}/credentials.toml"\n'
            f'platforms_dir = "{tmp_path}/pages"\n[inventory]\npath = "{tmp_path}/devices.toml"\n[ssh]\nattempts = 1\n'
        )
        (tmp_path / "pages").mkdir()
        (tmp_path / "pages" / "wrong.toml").write_text(
            'extends = "fortinet_fortios_api"\ntitle = "Wrong"\n[complete]\nends_with = "^the end"\n'
        )
        (tmp_path / "credentials.toml").write_text(API_CREDENTIALS)
        (tmp_path / "credentials.toml").chmod(0o600)
        (tmp_path / "devices.toml").write_text(
            f'[devices.fw1]\naddress = "127.0.0.1"\nport = {server.port}\nplatform = "fortinet_fortios_api"\n'
            f'credential = "token"\noptions = {{ ca_file = "{server.ca_file}" }}\n'
        )
        yield tmp_path


def test_a_page_with_a_plugin_is_tried_kept_and_judged_again(firewall: Path) -> None:
    kept = firewall / "kept.toml"
    tried = devicevault(firewall, "try", "fw1", "--json", "--capture", str(kept))
    trial = json.loads(tried.stdout)
    assert tried.exit_code == ExitCode.DONE, tried.output
    assert trial["whole"] is True
    assert [each["command"].partition("?")[0] for each in trial["commands"]] == [
        "POST /api/v2/monitor/system/config/backup",
        "/api/v2/monitor/system/status",
    ]
    assert trial["artifacts"][0]["hidden"] == 1
    assert "cAnArY" not in tried.output + kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    judged = devicevault(firewall, "check", str(kept))
    assert judged.exit_code == ExitCode.DONE, judged.output
    assert "cut at 20 places, it was never taken for whole" in judged.stdout
    assert "serial FGT60FTK1" in judged.stdout
    assert devicevault(firewall, "check", str(kept), "--platform", "cisco_ios").exit_code == ExitCode.USAGE


def test_what_does_not_fit_a_plugins_page_is_kept_to_mend_it(firewall: Path) -> None:
    kept = firewall / "kept.toml"
    tried = devicevault(firewall, "try", "fw1", "--platform", "wrong", "--capture", str(kept))
    assert tried.exit_code == ExitCode.DEVICES_FAILED
    assert "does not end with 'the end'" in tried.stdout
    assert devicevault(firewall, "check", str(kept)).exit_code == ExitCode.DEVICES_FAILED
    mended = devicevault(firewall, "check", str(kept), "--platform", "fortinet_fortios_api", "--json")
    assert json.loads(mended.stdout)["whole"] is True


def test_nothing_is_kept_of_a_file(firewall: Path) -> None:
    tried = devicevault(firewall, "try", "fw1", "--platform", "f5_ucs", "--capture", str(firewall / "kept.toml"))
    assert tried.exit_code == ExitCode.USAGE
    assert "brings files, and nobody can hide the secrets in one" in tried.stderr
    assert not (firewall / "kept.toml").exists()
