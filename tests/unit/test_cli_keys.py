"""`devicevault keys create --if-missing`, which the consumer's unit runs before each start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[vault]\npublic_key = "{tmp_path}/vault.pub"\nprivate_key = "{tmp_path}/vault.key"\n'
        f'digest_key = "{tmp_path}/vault.digest"\n'
    )
    return path


def create(config: Path) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), "keys", "create", "--if-missing"])


def contents(config: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in config.parent.glob("vault.*")}


def test_the_first_start_makes_the_keys_and_every_other_leaves_them_alone(config: Path) -> None:
    assert create(config).exit_code == 0
    made = contents(config)
    assert set(made) == {"vault.key", "vault.pub", "vault.digest"}
    modes = {name: stat.S_IMODE((config.parent / name).stat().st_mode) for name in made}
    assert modes == {"vault.key": 0o600, "vault.pub": 0o644, "vault.digest": 0o640}
    again = create(config)
    assert (again.exit_code, again.output) == (0, "")
    assert contents(config) == made


def test_a_private_key_kept_elsewhere_is_not_missed(config: Path) -> None:
    create(config)
    (config.parent / "vault.key").unlink()
    assert create(config).exit_code == 0
    assert set(contents(config)) == {"vault.pub", "vault.digest"}


@pytest.mark.parametrize("lost", ["vault.pub", "vault.digest"])
def test_half_a_set_of_keys_is_never_completed_with_new_ones(config: Path, lost: str) -> None:
    create(config)
    (config.parent / lost).unlink()
    before = contents(config)
    done = create(config)
    assert done.exit_code == 78
    assert lost in done.output
    assert contents(config) == before


def test_where_originals_are_plain_no_keys_are_made(config: Path) -> None:
    config.write_text(config.read_text() + 'originals = "plain"\n')
    assert create(config).exit_code == 0
    assert contents(config) == {}


def test_keys_that_are_there_are_told_once_for_all_three(config: Path) -> None:
    create(config)
    again = CliRunner().invoke(main, ["--config", str(config), "keys", "create"])
    assert again.exit_code == 78
    (line,) = again.stderr.splitlines()
    assert all(f"{config.parent}/{name}" in line for name in contents(config))
