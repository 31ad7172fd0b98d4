"""A FortiGate encrypts its secrets anew at each reading: only a real change counts, and the newest is what restores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devicevault.collector.collect import collect
from devicevault.collector.seal import Opener, Sealer
from devicevault.demo.configurations import configuration_for
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.settings import Settings, VaultSettings
from devicevault.store import Store, open_store, reader, write_results
from devicevault.vault_keys import create_keys
from tests.collecting import make_context, request_for

#: An administrator's password as FortiOS shows it: a hash, the same at each reading.
HASH = "SH2" + "cAnAry7w" * 7 + "xyz="
OTHER_HASH = "SH2" + "Rotated1" * 7 + "xyz="


@pytest.fixture
def device() -> SimulatedDevice:
    text = configuration_for("fortinet_fortios", "fw1", size_kb=3)
    text = re.sub(r"set password ENC \S+", f"set password ENC {HASH}", text)
    return SimulatedDevice("fw1", "fortinet_fortios", text)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    vault = VaultSettings(
        public_key=tmp_path / "vault.pub", private_key=tmp_path / "vault.key", digest_key=tmp_path / "vault.digest"
    )
    create_keys(vault)
    return Settings(vault=vault)


class Site:
    """One device, collected into one database."""

    def __init__(self, fleet: Fleet, device: SimulatedDevice, store: Store, settings: Settings, folder: Path) -> None:
        self.store = store
        self._context = replace(make_context(folder), sealer=Sealer.from_settings(settings))
        self._opener = Opener.from_settings(settings)
        self._fleet = fleet
        self._device = device

    def collect(self) -> list[str]:
        """Why revisions were made."""
        result = collect(request_for(self._fleet, self._device), self._context)
        assert result.status == "success", result.error_message
        return [change.reason for change in write_results(self.store, [result]).changes]

    def original(self) -> str:
        """What restores the device now."""
        with self.store.reading() as session:
            kept = reader.original(session, reader.find_device(session, "fw1"), artifact="running")
        return self._opener.open(kept.sealed, kept.key_id).decode()

    def shown(self) -> str:
        with self.store.reading() as session:
            return reader.revision(session, reader.find_device(session, "fw1"), artifact="running").text


@pytest.fixture
def site(device: SimulatedDevice, settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    with Fleet([device]) as fleet, open_store(sqlite_url, migrate=True) as store:
        yield Site(fleet, device, store, settings, tmp_path)


def test_new_salts_make_no_revision_and_a_rotated_password_makes_one(site: Site, device: SimulatedDevice) -> None:
    assert site.collect() == ["first"]
    first = site.original()
    assert site.collect() == []
    assert site.original() != first, "the salts are new, and the newest is what is kept"
    device.configuration = device.configuration.replace(HASH, OTHER_HASH)
    assert site.collect() == ["secret"]
    assert OTHER_HASH in site.original()
    assert site.collect() == []
    assert OTHER_HASH in site.original()
    assert "SH2" not in site.shown()
    assert device.changes == []


def test_a_secret_nobody_can_tell_from_a_new_salt_is_restored_as_it_is_now(site: Site, device: SimulatedDevice) -> None:
    """A rotated pre-shared key looks like another salt: no revision, but the original is that of the last reading."""
    site.collect()
    device.configuration = re.sub(r"set psksecret ENC \S+", "set psksecret ENC SH2rotated", device.configuration)
    assert site.collect() == []
    assert "SH2rotated" in site.original()
