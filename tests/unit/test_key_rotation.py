"""Who can open originals changes, and nothing that was sealed is ever lost by it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from devicevault.collector.seal import WRAPPED_BYTES, Opener, Sealer
from devicevault.errors import ConfigurationError, DeviceVaultError, UsageError
from devicevault.key_rotation import add_recipient, create_pair, forget, remove_recipient, rotate
from devicevault.known_keys import KnownKeys
from devicevault.settings import Settings, VaultSettings
from devicevault.vault_keys import PUBLIC, create_keys, key_id, read_key, read_keys

ORIGINAL = b"enable secret canary\n" * 100


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    vault = VaultSettings(
        public_key=tmp_path / "vault.pub", private_key=tmp_path / "vault.key", digest_key=tmp_path / "vault.digest"
    )
    create_keys(vault)
    return Settings(vault=vault)


class TestRotation:
    def test_a_running_worker_seals_with_the_new_key_at_once(self, settings: Settings) -> None:
        sealer, known = Sealer.from_settings(settings), KnownKeys(settings.vault.public_key)
        before, old = sealer.seal(ORIGINAL)
        new = rotate(settings.vault)
        assert sealer.key_id == new, "and says so in its heartbeat"
        after, used = sealer.seal(ORIGINAL)
        assert used == new != old
        assert used in known, "and the running consumer takes it"
        assert old in known, "as it does what a worker elsewhere still seals with the old one"
        opener = Opener.from_settings(settings)
        assert opener.open(before, old) == opener.open(after, used) == ORIGINAL

    def test_it_can_be_done_again_and_again(self, settings: Settings) -> None:
        sealed = []
        for _ in range(3):
            sealed.append(Sealer.from_settings(settings).seal(ORIGINAL))
            rotate(settings.vault)
        assert len({used for _, used in sealed}) == 3
        for original, used in sealed:
            assert Opener.from_settings(settings).open(original, used) == ORIGINAL

    def test_files_keep_their_modes(self, settings: Settings) -> None:
        settings.vault.public_key.chmod(0o640)
        rotate(settings.vault)
        files = (settings.vault.private_key, settings.vault.public_key)
        assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o640]
        assert len(list(settings.vault.private_key.parent.iterdir())) == 3, "no drafts are left"

    def test_where_the_private_key_is_not_nothing_changes(self, settings: Settings) -> None:
        settings.vault.private_key.unlink()
        before = settings.vault.public_key.read_text()
        with pytest.raises(ConfigurationError, match="vault's host"):
            rotate(settings.vault)
        assert settings.vault.public_key.read_text() == before

    def test_a_key_file_that_can_not_be_read_for_a_moment_takes_no_key_away(self, settings: Settings) -> None:
        sealer, known = Sealer.from_settings(settings), KnownKeys(settings.vault.public_key)
        own = sealer.key_id
        settings.vault.public_key.write_text("half a li")
        assert sealer.seal(b"x")[1] == own
        assert "stranger" not in known
        assert own in known

    def test_a_forgotten_key_opens_nothing_any_more(self, settings: Settings) -> None:
        sealed, old = Sealer.from_settings(settings).seal(ORIGINAL)
        new = rotate(settings.vault)
        with pytest.raises(UsageError, match="no retired key"):
            forget(settings.vault, new)
        forget(settings.vault, old)
        assert old not in KnownKeys(settings.vault.public_key)
        with pytest.raises(ConfigurationError, match=old):
            Opener.from_settings(settings).open(sealed, old)


class TestRecipients:
    @pytest.fixture
    def safe(self, tmp_path: Path) -> Path:
        """The private key of another holder, away from the vault."""
        folder = tmp_path / "safe"
        folder.mkdir()
        create_pair(folder / "safe.key")
        return folder / "safe.key"

    def test_each_opens_by_himself_what_is_sealed_for_several(self, settings: Settings, safe: Path) -> None:
        added = add_recipient(settings.vault, safe.with_suffix(".pub"))
        sealed, used = Sealer.from_settings(settings).seal(ORIGINAL)
        assert used == f"{key_id(read_key(settings.vault.public_key, PUBLIC))}+{added}"
        assert b"canary" not in sealed
        assert Opener.from_settings(settings).open(sealed, used) == ORIGINAL
        assert Opener(safe).open(sealed, used) == ORIGINAL
        assert used in KnownKeys(settings.vault.public_key)

    def test_what_was_sealed_before_is_not_his(self, settings: Settings, safe: Path) -> None:
        sealed, used = Sealer.from_settings(settings).seal(ORIGINAL)
        add_recipient(settings.vault, safe.with_suffix(".pub"))
        assert not Opener(safe).can_open(used)
        with pytest.raises(ConfigurationError, match=used):
            Opener(safe).open(sealed, used)

    def test_a_rotation_leaves_him_in(self, settings: Settings, safe: Path) -> None:
        added = add_recipient(settings.vault, safe.with_suffix(".pub"))
        rotate(settings.vault)
        assert Opener(safe).open(*Sealer.from_settings(settings).seal(ORIGINAL)) == ORIGINAL
        remove_recipient(settings.vault, added)
        assert Sealer.from_settings(settings).key_id == key_id(read_keys(settings.vault.public_key, PUBLIC)[0])

    def test_the_vaults_own_key_is_no_further_recipients(self, settings: Settings, safe: Path) -> None:
        with pytest.raises(UsageError, match="keys rotate") as caught:
            remove_recipient(settings.vault, Sealer.from_settings(settings).key_id)
        assert caught.value.exit_code == 2
        add_recipient(settings.vault, safe.with_suffix(".pub"))
        with pytest.raises(UsageError, match="already"):
            add_recipient(settings.vault, safe.with_suffix(".pub"))

    def test_a_private_key_is_never_taken_for_a_public_one(self, settings: Settings, safe: Path) -> None:
        with pytest.raises(ConfigurationError, match="devicevault-private-1"):
            add_recipient(settings.vault, safe)

    def test_a_pair_overwrites_nothing(self, safe: Path) -> None:
        before = safe.read_text()
        with pytest.raises(UsageError, match="already"):
            create_pair(safe)
        assert safe.read_text() == before
        assert stat.S_IMODE(safe.stat().st_mode) == 0o600

    @pytest.mark.parametrize("place", [0, 100, 170, -1])
    def test_a_changed_byte_is_found(self, settings: Settings, safe: Path, place: int) -> None:
        add_recipient(settings.vault, safe.with_suffix(".pub"))
        sealed, used = Sealer.from_settings(settings).seal(ORIGINAL)
        broken = bytearray(sealed)
        broken[place] ^= 1
        for holder, opener in enumerate((Opener.from_settings(settings), Opener(safe))):
            if place < 0 or place // WRAPPED_BYTES in (holder, 2):
                with pytest.raises(DeviceVaultError, match="damaged"):
                    opener.open(bytes(broken), used)
            else:
                assert opener.open(bytes(broken), used) == ORIGINAL, "it is the other holder's part that is broken"
