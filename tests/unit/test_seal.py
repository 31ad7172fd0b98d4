"""Sealing: the worker can seal, only the holder of vault.key can open."""

from __future__ import annotations

import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from devicevault.collector import seal
from devicevault.collector.seal import Opener, Sealer
from devicevault.compression import CompressionError, compress, decompress
from devicevault.errors import ConfigurationError, DeviceVaultError
from devicevault.known_keys import KnownKeys
from devicevault.settings import Settings, VaultSettings
from devicevault.vault_keys import DIGEST, PLAIN, PRIVATE, PUBLIC, KeyKind, create_keys, key_id, read_key

ORIGINAL = b"hostname core\nenable secret canary\n" + bytes(range(256))


def vault_in(folder: Path, originals: Literal["sealed", "plain"] = "sealed") -> Settings:
    return Settings(
        vault=VaultSettings(
            originals=originals,
            public_key=folder / "vault.pub",
            private_key=folder / "vault.key",
            digest_key=folder / "vault.digest",
        )
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A vault's host, with its three keys."""
    settings = vault_in(tmp_path)
    create_keys(settings.vault)
    return settings


def test_what_a_worker_seals_the_vault_opens_byte_for_byte(settings: Settings) -> None:
    sealed, used = Sealer.from_settings(settings).seal(ORIGINAL)
    assert used == key_id(read_key(settings.vault.public_key, PUBLIC))
    assert Opener.from_settings(settings).open(sealed, used) == ORIGINAL


def test_a_sealed_original_shows_nothing_of_itself(settings: Settings) -> None:
    sealed, _ = Sealer.from_settings(settings).seal(ORIGINAL)
    assert b"canary" not in sealed
    with pytest.raises(CompressionError, match="not compressed"):
        decompress(sealed)


def test_a_worker_needs_no_private_key(settings: Settings) -> None:
    settings.vault.private_key.unlink()
    sealed, used = Sealer.from_settings(settings).seal(ORIGINAL)
    with pytest.raises(ConfigurationError, match="vault's host"):
        Opener.from_settings(settings).open(sealed, used)


def test_a_configuration_is_compressed_before_it_is_sealed(settings: Settings) -> None:
    sealed, _ = Sealer.from_settings(settings).seal(b"interface GigabitEthernet0/1\n" * 4000)
    assert len(sealed) < 2000


def test_an_empty_original_comes_back_empty(settings: Settings) -> None:
    assert Opener.from_settings(settings).open(*Sealer.from_settings(settings).seal(b"")) == b""


def test_plain_originals_need_no_keys_at_all(tmp_path: Path) -> None:
    settings = vault_in(tmp_path, "plain")
    sealer = Sealer.from_settings(settings)
    stored, used = sealer.seal(ORIGINAL)
    assert used == PLAIN
    assert Opener.from_settings(settings).open(stored, used) == ORIGINAL
    assert sealer.keyed_digest("text") == ""


def test_plain_originals_are_digested_where_the_digest_key_is(settings: Settings) -> None:
    plain = settings.model_copy(update={"vault": settings.vault.model_copy(update={"originals": "plain"})})
    digest = Sealer.from_settings(settings).keyed_digest("text")
    assert Sealer.from_settings(plain).keyed_digest("text") == digest


def test_a_worker_without_keys_is_told_of_both_and_of_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sealer.from_settings(vault_in(tmp_path))
    assert [Path(fault.source).name for fault in caught.value.faults] == ["vault.pub", "vault.digest"]
    assert all("keys create" in fault.fix and "plain" in fault.fix for fault in caught.value.faults)


def test_the_digest_is_the_same_for_the_same_text_and_another_without_the_key(
    settings: Settings, tmp_path: Path
) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = vault_in(other_folder)
    create_keys(other.vault)
    digest = Sealer.from_settings(settings).keyed_digest("enable secret x")
    assert digest == Sealer.from_settings(settings).keyed_digest("enable secret x")
    assert digest != Sealer.from_settings(settings).keyed_digest("enable secret y")
    assert digest != Sealer.from_settings(other).keyed_digest("enable secret x")
    algorithm, _, hexadecimal = digest.partition(":")
    assert algorithm == "hmac-sha256"
    assert len(bytes.fromhex(hexadecimal)) == 32


def test_any_text_python_can_hold_has_a_digest(settings: Settings) -> None:
    assert Sealer.from_settings(settings).keyed_digest("\udcff\x00 é 漢")


def test_an_original_of_another_vault_names_both_keys(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = vault_in(folder)
    other_id = create_keys(other.vault)
    sealed, used = Sealer.from_settings(other).seal(ORIGINAL)
    with pytest.raises(ConfigurationError, match=other_id):
        Opener.from_settings(settings).open(sealed, used)


def test_a_changed_byte_anywhere_is_found(settings: Settings) -> None:
    sealed, used = Sealer.from_settings(settings).seal(ORIGINAL)
    opener = Opener.from_settings(settings)
    for place in random.Random(1).sample(range(len(sealed)), 20):
        broken = bytearray(sealed)
        broken[place] ^= 1
        with pytest.raises(DeviceVaultError, match="damaged"):
            opener.open(bytes(broken), used)


@pytest.mark.parametrize("stored", [b"", b"not compressed", compress(b"x" * 100)[:-3]])
def test_damaged_plain_originals_are_told_as_such(settings: Settings, stored: bytes) -> None:
    with pytest.raises(DeviceVaultError, match="damaged"):
        Opener.from_settings(settings).open(stored, PLAIN)


@pytest.mark.parametrize("length", [0, 1, 47])
def test_a_sealed_original_cut_short_is_told_as_damaged(settings: Settings, length: int) -> None:
    sealed, used = Sealer.from_settings(settings).seal(ORIGINAL)
    with pytest.raises(DeviceVaultError, match="damaged"):
        Opener.from_settings(settings).open(sealed[:length], used)


def test_a_forged_original_can_not_fill_the_memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "OPENED_MAX_BYTES", 1000)
    opener = Opener.from_settings(settings)
    assert len(opener.open(compress(b"x" * 1000), PLAIN)) == 1000
    with pytest.raises(DeviceVaultError):
        opener.open(compress(b"x" * 100_000), PLAIN)


# --- the key files


def test_keys_are_made_with_the_permissions_they_need(settings: Settings) -> None:
    vault = settings.vault
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (vault.private_key, vault.public_key, vault.digest_key)]
    assert modes == [0o600, 0o644, 0o640]


@pytest.mark.parametrize("name", ["private_key", "public_key", "digest_key"])
def test_keys_are_never_overwritten_nor_made_in_part(tmp_path: Path, name: str) -> None:
    vault = vault_in(tmp_path).vault
    getattr(vault, name).write_text("precious")
    with pytest.raises(ConfigurationError, match="already there") as refused:
        create_keys(vault)
    missing = {path.name for path in (vault.private_key, vault.public_key, vault.digest_key) if not path.exists()}
    assert len(missing) == 2
    assert all(
        name in refused.value.faults[0].fix.partition(" back, from a backup or from another host that has it")[0]
        for name in missing
    )
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    vault = vault_in(tmp_path).vault
    vault.private_key.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="already there"):
        create_keys(vault)
    assert not (tmp_path / "elsewhere").exists()


def test_keys_that_can_not_all_be_written_leave_none(tmp_path: Path) -> None:
    vault = vault_in(tmp_path).vault.model_copy(update={"digest_key": tmp_path / "missing" / "vault.digest"})
    with pytest.raises(ConfigurationError, match="can't be written"):
        create_keys(vault)
    assert list(tmp_path.iterdir()) == []


def test_two_who_make_keys_at_once_do_not_spoil_each_others(tmp_path: Path) -> None:
    """Each either makes all three, or none and takes away none: what is there in the end is one whole set."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom devicevault.settings import VaultSettings\n"
        "from devicevault.vault_keys import create_keys\nfolder = Path(sys.argv[1])\n"
        "vault = VaultSettings(public_key=folder / 'vault.pub', private_key=folder / 'vault.key',"
        " digest_key=folder / 'vault.digest')\n"
        "print('ready', flush=True)\nsys.stdin.readline()\nprint(create_keys(vault))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    said = [child.communicate() for child in children]
    made = [out.strip() for out, _ in said if out.strip()]
    settings = vault_in(tmp_path)
    assert made == [key_id(read_key(settings.vault.public_key, PUBLIC))]
    assert all("already there" in err or "File exists" in err for out, err in said if not out.strip())
    assert Opener.from_settings(settings).open(*Sealer.from_settings(settings).seal(ORIGINAL)) == ORIGINAL


@pytest.mark.parametrize(("name", "kind"), [("private_key", PRIVATE), ("digest_key", DIGEST)])
def test_a_secret_key_others_may_read_is_refused(settings: Settings, name: str, kind: KeyKind) -> None:
    path: Path = getattr(settings.vault, name)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod o="):
        read_key(path, kind)


def test_one_key_in_anothers_place_is_refused_without_being_shown(settings: Settings) -> None:
    vault = settings.vault
    secret = vault.private_key.read_text()
    vault.private_key.replace(vault.public_key)
    with pytest.raises(ConfigurationError, match="devicevault-private-1") as caught:
        Sealer.from_settings(settings)
    assert secret.split()[-1] not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "devicevault-public-1", "devicevault-public-1 !!!", "devicevault-public-1 YWJj", "\x00"]
)
def test_a_key_file_that_holds_no_key_is_refused(settings: Settings, text: str) -> None:
    settings.vault.public_key.write_text(text)
    with pytest.raises(ConfigurationError, match="is no devicevault-public-1 key"):
        Sealer.from_settings(settings)


def test_the_consumer_knows_the_key_ids_it_can_keep(settings: Settings, tmp_path: Path) -> None:
    own = key_id(read_key(settings.vault.public_key, PUBLIC))
    known = KnownKeys(settings.vault.public_key)
    assert own in known
    assert PLAIN in known
    assert f"stranger+{own}" in known, "one of several recipients is enough to open it"
    assert "stranger" not in known
    without_keys = KnownKeys(tmp_path / "nowhere" / "vault.pub")
    assert PLAIN in without_keys
    assert own not in without_keys


def test_no_key_is_in_a_repr(settings: Settings) -> None:
    sealer, opener = Sealer.from_settings(settings), Opener.from_settings(settings)
    for path, kind in ((settings.vault.private_key, PRIVATE), (settings.vault.digest_key, DIGEST)):
        key = read_key(path, kind)
        assert key.hex() not in repr(sealer) + repr(opener)
        assert repr(key) not in repr(sealer) + repr(opener)
