"""``devicevault config`` and ``keys``, and that every page about the settings says what their declaration says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
import tomli
from click.testing import CliRunner, Result

from devicevault.cli import COMMANDS, load_command, main
from devicevault.errors import ExitCode
from devicevault.settings import JumpSettings, ReceiverSettings, Settings, document, load_settings
from devicevault.settings.sources import keys_of

ROOT = Path(__file__).parents[2]


def run(*arguments: str, config: Path | None = None, environ: Mapping[str, str] | None = None) -> Result:
    options = ["--config", str(config)] if config else []
    ours = {name: None for name in os.environ if name.startswith("DEVICEVAULT_")}
    return CliRunner().invoke(main, [*options, *arguments], env={**ours, **(environ or {})}, catch_exceptions=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        'broker_url = "amqp://vault:canary-url@rabbit:5672//"\n'
        '[flower]\npassword = "canary-flower"\n'
        "[groups.dmz]\nworker.concurrency = 4\n"
    )
    path.chmod(0o640)
    return path


# --- one declaration, no drift


def marked_part(page: Path, marker: str) -> str:
    """What stands in a page between ``<!-- MARKER -->`` and ``<!-- /MARKER -->``."""
    _, _, rest = page.read_text("utf-8").partition(f"<!-- {marker} -->\n")
    part, end, _ = rest.partition(f"<!-- /{marker} -->")
    assert end, f"{page.name} lacks <!-- {marker} --> or <!-- /{marker} -->"
    return part.strip() + "\n"


def test_the_sample_file_in_etc_is_what_the_declaration_says() -> None:
    """Renew with ``devicevault config sample > etc/config.toml``."""
    assert (ROOT / "etc" / "config.toml").read_text("utf-8") == document.sample()


def test_the_readme_table_is_what_the_declaration_says() -> None:
    """Renew with ``devicevault config table --main``."""
    assert marked_part(ROOT / "README.md", "settings") == document.markdown_table(main=True)


def test_the_configuration_page_is_what_the_declaration_says() -> None:
    """Renew with ``devicevault config table``."""
    assert marked_part(ROOT / "docs" / "configuration.md", "settings") == document.markdown_table()


def test_the_sample_file_as_it_is_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(document.sample())
    assert load_settings(path, {}) == Settings()


def test_every_key_of_the_sample_file_can_be_taken_as_it_stands(tmp_path: Path) -> None:
    live = re.sub(r"^#(?=[a-z\[])", "", document.sample(), flags=re.MULTILINE)
    path = tmp_path / "config.toml"
    path.write_text(live)
    settings = load_settings(path, {})
    assert settings.model_copy(update={"groups": {}, "jumps": {}, "receivers": {}}) == Settings()
    assert settings.jumps == {document.EXAMPLE_JUMP: JumpSettings.model_validate(document.NEEDED["jumps"])}
    assert settings.receivers == {
        document.EXAMPLE_RECEIVER: ReceiverSettings.model_validate(document.NEEDED["receivers"])
    }
    assert settings.for_group("dmz").ssh == Settings().ssh
    set_keys = tomli.loads(live)
    for key in keys_of(Settings):
        value = set_keys
        for part in key:
            value = value[part]


def test_every_setting_says_what_it_means() -> None:
    for key in keys_of(Settings):
        described = document.described_field(key)
        assert described[0].isupper() or described[0] == "`", key
        assert described.endswith("."), key


# --- check and show


def test_check_names_what_was_read_and_ends_with_0(config: Path) -> None:
    result = run("config", "check", config=config, environ={"DEVICEVAULT_LOG__LEVEL": "debug"})
    assert result.exit_code == 0
    assert result.stdout == f"{config}: ok\nDEVICEVAULT_LOG__LEVEL: ok\n"
    assert result.stderr == ""


def test_check_tells_each_fault_on_one_line_and_ends_with_78(config: Path) -> None:
    config.write_text('brokr_url = "redis://:canary@h"\n[worker]\nconcurrency = 0\n')
    result = run("config", "check", config=config, environ={"DEVICEVAULT_FLOWER__PORT": "0"})
    assert result.exit_code == 78
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"error: {config}:1: brokr_url: there is no such setting; did you mean 'broker_url'?",
        f"error: {config}:3: worker.concurrency: must be at least 1, not 0",
        "error: DEVICEVAULT_FLOWER__PORT: must be at least 1",
    ]


def test_check_warns_of_a_file_with_a_password_that_everyone_can_read(config: Path) -> None:
    config.chmod(0o644)
    result = run("config", "check", config=config)
    assert result.exit_code == 0
    assert f"chmod o= {config}" in result.stderr


def test_check_does_not_warn_of_a_readable_file_without_passwords(config: Path) -> None:
    config.write_text('redis_url = "redis://h/1"\n')
    config.chmod(0o644)
    assert run("config", "check", config=config).stderr == ""


@pytest.mark.parametrize("options", [[], ["--json"], ["--group", "dmz"], ["--changed"]])
def test_show_masks_every_secret(config: Path, options: list[str]) -> None:
    result = run(
        "config", "show", *options, config=config, environ={"DEVICEVAULT_REDIS_URL": "redis://:canary-variable@h/1"}
    )
    assert result.exit_code == 0
    assert "canary" not in result.output
    assert "amqp://vault:********@rabbit:5672//" in result.output
    assert "redis://:********@h/1" in result.output


def test_show_tells_each_value_with_its_origin(config: Path) -> None:
    result = run("config", "show", "--json", config=config, environ={"DEVICEVAULT_LOG__LEVEL": "debug"})
    rows = {row["key"]: row for row in json.loads(result.stdout)}
    assert set(rows) == {".".join(key) for key in keys_of(Settings)} | {"groups.dmz.worker.concurrency"}
    assert (rows["log.level"]["value"], rows["log.level"]["origin"]) == ("debug", "DEVICEVAULT_LOG__LEVEL")
    assert (rows["flower.port"]["value"], rows["flower.port"]["origin"]) == (5555, "default")
    assert rows["broker_url"]["origin"] == f"{config}:1"
    assert rows["groups.dmz.worker.concurrency"]["origin"] == f"{config}:5"


def test_show_for_a_group_tells_what_counts_there(config: Path) -> None:
    result = run("config", "show", "--group", "dmz", "--json", config=config)
    rows = {row["key"]: row for row in json.loads(result.stdout)}
    assert (rows["worker.concurrency"]["value"], rows["worker.concurrency"]["origin"]) == (4, f"{config}:5")
    assert (rows["worker.drain_s"]["value"], rows["worker.drain_s"]["origin"]) == (30, "default")


def test_show_for_a_group_that_can_not_be_is_a_usage_error(config: Path) -> None:
    result = run("config", "show", "--group", "DMZ", config=config)
    assert result.exit_code == 2
    assert "DMZ" in result.stderr


def test_each_row_is_one_line_in_a_pipe(config: Path) -> None:
    config.write_text(f'results_stream = "{"x" * 300}"\n')
    result = run("config", "show", "--changed", config=config)
    assert len(result.stdout.splitlines()) == 3


def test_the_sample_can_be_printed_though_the_settings_are_broken(config: Path) -> None:
    config.write_text("broken [")
    result = run("config", "sample", config=config)
    assert (result.exit_code, result.stdout) == (0, document.sample())


# --- keys


def test_keys_are_made_once_and_never_printed(tmp_path: Path) -> None:
    environ = {f"DEVICEVAULT_VAULT__{key.upper()}_KEY": str(tmp_path / key) for key in ("public", "private", "digest")}
    first = run("keys", "create", environ=environ)
    again = run("keys", "create", environ=environ)
    shown = run("keys", "show", "--json", environ=environ)
    assert (first.exit_code, again.exit_code, shown.exit_code) == (0, 78, 0)
    assert "already there" in again.stderr
    rows = json.loads(shown.stdout)
    assert [row["state"] for row in rows] == ["ok", "ok", "ok"]
    assert rows[0]["key_id"] == rows[1]["key_id"] != ""
    for key in ("private", "digest"):
        secret = (tmp_path / key).read_text().split()[-1]
        assert secret not in first.output + again.output + shown.output


# --- the command as a whole


def test_help_lists_every_command_without_importing_any() -> None:
    script = (
        "import sys\nfrom devicevault.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'celery', 'netmiko', 'sqlalchemy', 'rich', 'pydantic', 'redis'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, lazy in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert lazy.help in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_listed_is_there_and_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {name}" in result.stdout
    command = load_command(name)
    assert command.name == name
    assert command.help


def test_a_mistyped_command_names_the_nearest() -> None:
    result = run("confg")
    assert result.exit_code == 2
    assert "'config'" in result.stderr


def test_an_argument_is_utf_8_in_every_locale_and_anything_else_is_a_usage_error() -> None:
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def shown(name: bytes) -> subprocess.CompletedProcess[bytes]:
        command = [os.fsencode(sys.executable), b"-m", b"devicevault", b"platforms", b"show", name]
        return subprocess.run(command, env=environ, capture_output=True, check=False)

    broken = shown(b"sw\xff")
    assert broken.returncode == ExitCode.USAGE
    assert b"is not UTF-8 text" in broken.stderr
    assert b"Traceback" not in broken.stderr
    unknown = shown("büro".encode())
    assert unknown.returncode == ExitCode.USAGE
    assert b"there is no platform" in unknown.stderr
    assert rb"\udcc3" not in unknown.stderr


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("devicevault.cli.config.config", interrupted)
    result = run("config")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_settings_file_that_can_not_be_read_is_a_configuration_fault(tmp_path: Path) -> None:
    """Named on the command line or by the variable, it ends the same way: one line, and 78."""
    folder = tmp_path / "config.toml"
    folder.mkdir()
    result = run("--config", str(folder), "config", "check")
    assert result.exit_code == ExitCode.CONFIGURATION
    assert result.stderr == f"error: {folder}: can't be read: Is a directory\n"


@pytest.mark.parametrize("options", [["show"], ["sample"], ["show", "--json"]])
def test_a_full_disk_is_told_in_a_line_and_is_no_failed_device(options: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "devicevault", "config", *options]
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"}, check=False
        )
    assert ended.returncode == ExitCode.UNAVAILABLE
    assert ended.stderr == "error: No space left on device; mend that and try again\n"


def test_a_reader_that_goes_away_is_no_error_of_ours() -> None:
    """``devicevault config sample | head -1`` ends quietly, and not with the code for failed devices."""
    for arguments in (["sample"], ["show"], ["show", "--json"]):
        command = [sys.executable, "-m", "devicevault", "config", *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"}
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.close()
            said = child.stderr.read()
        assert (child.returncode, said) == (141, ""), arguments
