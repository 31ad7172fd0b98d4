"""A backup that is a file: kept once while it stays the same, sealed, and exported as the file it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select

from devicevault.cli import main
from devicevault.collector.binary import binary_artifact
from devicevault.collector.seal import Sealer
from devicevault.settings import Settings, load_settings
from devicevault.store import Store, open_store, reader, write_results
from devicevault.store.models import DeviceBackupResult, SealedOriginal
from devicevault.stream import decode, encode
from devicevault.vault_keys import create_keys
from tests.mirrored import Vault
from tests.results import at, request, result

pytestmark = pytest.mark.services

FILE = os.urandom(300_000)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    (tmp_path / "config.toml").write_text(
        f'database_url = "{database_url}"\n[vault]\npublic_key = "{tmp_path}/vault.pub"\n'
        f'private_key = "{tmp_path}/vault.key"\ndigest_key = "{tmp_path}/vault.digest"\n'
    )
    settings = load_settings(tmp_path / "config.toml")
    create_keys(settings.vault)
    return settings


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.database_url, migrate=True) as opened:
        yield opened


def collect(store: Store, settings: Settings, minutes: int, content: bytes) -> list[str]:
    """Why revisions were made, by a result that came through the stream."""
    artifact = binary_artifact(Sealer.from_settings(settings), "backup.ucs", content)
    sent = result(request("lb1", minutes=minutes), "success", artifact, is_binary=True)
    fields = {name.encode(): value for name, value in encode(sent).items()}
    return [change.reason for change in write_results(store, [decode(fields)]).changes]


def test_the_same_file_is_kept_once_and_another_makes_a_revision(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    assert collect(store, settings, 0, FILE) == ["first"]
    with store.reading() as session:
        before = session.scalars(select(SealedOriginal.sealed)).one()
    assert collect(store, settings, 1, FILE) == []
    with store.reading() as session:
        assert session.scalars(select(SealedOriginal.sealed)).one() == before
    changed = FILE[:-1] + bytes([FILE[-1] ^ 1])
    assert collect(store, settings, 2, changed) == ["changed"]
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(SealedOriginal)) == 2
        shown = reader.revision(session, reader.find_device(session, "lb1"), artifact="backup.ucs").text
    assert shown.startswith("backup.ucs: 300000 bytes, hmac-sha256:")
    with store.reading() as session:
        assert all(session.scalars(select(DeviceBackupResult.is_binary)))
    words = ["--config", str(tmp_path / "config.toml"), "export", "--open", str(tmp_path / "out")]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert (tmp_path / "out" / "default" / "lb1.ucs").read_bytes() == changed


def test_every_command_deals_with_a_file(store: Store, settings: Settings, tmp_path: Path) -> None:
    changed = b"\x1b]0;owned\x07needle" + FILE
    collect(store, settings, 0, FILE)
    collect(store, settings, 1, changed)

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(tmp_path / "config.toml"), *words], catch_exceptions=False)

    assert run("show", "lb1").stdout.startswith("backup.ucs: 300016 bytes, hmac-sha256:")
    output = tmp_path / "lb1.ucs"
    assert (run("show", "lb1", "--original", "-o", str(output)).exit_code, output.read_bytes()) == (0, changed)
    assert output.stat().st_mode & 0o777 == 0o600
    assert run("show", "lb1", "--original", "--revision", "1").stdout_bytes == FILE
    assert run("show", "lb1", "--original", "-o", "/dev/null").exit_code == 2
    assert (run("show", "lb1", "-o", str(tmp_path / "no" / "folder")).exit_code, Path("/dev/null").is_file()) == (
        75,
        False,
    )
    assert "backup.ucs: revision 2 was last seen" in (history := run("history", "lb1").stdout)
    assert history.count("a file") == 1
    lines = run("diff", "lb1").stdout.splitlines()
    assert [line[:26] for line in lines[3:]] == ["-backup.ucs: 300000 bytes,", "+backup.ucs: 300016 bytes,"]
    assert run("search", "needle").exit_code == 1
    assert run("search", "--originals", "needle").stdout == "lb1:1:the file holds it\n"
    left_out = run("export", str(tmp_path / "texts"))
    assert "1 artifact is a file, kept sealed only: add --originals or --open for it" in left_out.stderr
    assert left_out.stdout.startswith("0 files of 0 devices")
    assert run("export", "--originals", str(tmp_path / "sealed")).exit_code == 0
    sealed = tmp_path / "sealed" / "default" / "lb1.ucs.sealed"
    assert run("open", str(sealed)).stdout_bytes == changed
    exported = run("export", "--open", "--at", at(0.5).isoformat(), str(tmp_path / "then"))
    assert (exported.exit_code, (tmp_path / "then" / "default" / "lb1.ucs").read_bytes()) == (0, FILE)


def test_a_file_that_shrank_too_much_is_suspect(store: Store, settings: Settings) -> None:
    """An archive of an empty device is whole, and as long in its description as any other."""
    collect(store, settings, 0, FILE)
    assert collect(store, settings, 1, FILE[:1000]) == []
    with store.reading() as session:
        device = reader.find_device(session, "lb1")
        assert reader.held(session, device).text.startswith("backup.ucs: 1000 bytes")
        assert reader.revision(session, device, artifact="backup.ucs").number == 1
    assert collect(store, settings, 2, FILE[:290_000]) == ["changed"]


def test_the_mirror_tells_of_a_file_and_does_not_hold_it(store: Store, settings: Settings, tmp_path: Path) -> None:
    vault = Vault(store, tmp_path / "mirror.git")
    collect(store, settings, 0, FILE)
    vault.turn()
    collect(store, settings, 1, FILE[1:])
    vault.turn()
    with store.reading() as session:
        text = reader.revision(session, reader.find_device(session, "lb1"), artifact="backup.ucs").text
    assert vault.files() == {"default/lb1.ucs.txt": text}
    assert vault.log() == ["default: first backup of lb1", "default: lb1 changed"]
    with store.session() as session:
        reader.find_device(session, "lb1").name = "lb2"
    vault.turn()
    assert vault.files() == {"default/lb2.ucs.txt": text}


def test_nothing_that_is_told_of_a_file_lets_its_content_be_guessed(settings: Settings, tmp_path: Path) -> None:
    """Two vaults tell different digests of one file: without the key nobody can try contents out."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'[vault]\npublic_key = "{folder}/vault.pub"\nprivate_key = "{folder}/vault.key"\n'
        f'digest_key = "{folder}/vault.digest"\n'
    )
    other = load_settings(folder / "config.toml")
    create_keys(other.vault)
    one, two = (binary_artifact(Sealer.from_settings(vault), "x.bin", b"1234") for vault in (settings, other))
    assert one.text != two.text
    assert one.digest != two.digest
