"""What a starting daemon waits for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from devicevault.collector.seal import Sealer
from devicevault.daemons.waiting import wait_for_keys
from devicevault.errors import ConfigurationError
from devicevault.settings import Settings, VaultSettings
from devicevault.vault_keys import create_keys

FOREVER_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    keys = {name: tmp_path / name for name in ("public_key", "private_key", "digest_key")}
    return Settings(vault=VaultSettings(**keys))


def test_keys_that_are_made_meanwhile_end_the_waiting(settings: Settings) -> None:
    maker = threading.Timer(0.3, create_keys, (settings.vault,))
    maker.start()
    wait_for_keys(settings, within_s=FOREVER_S)
    maker.join()
    assert Sealer.from_settings(settings).key_id != "plain"


def test_keys_that_never_come_are_waited_for_once_and_then_told_as_ever(settings: Settings) -> None:
    wait_for_keys(settings, within_s=0.1)
    with pytest.raises(ConfigurationError, match="the key is missing"):
        Sealer.from_settings(settings)


def test_keys_that_are_there_and_wrong_are_not_waited_for(settings: Settings) -> None:
    create_keys(settings.vault)
    settings.vault.digest_key.write_text("no key\n")
    began = time.monotonic()
    wait_for_keys(settings, within_s=FOREVER_S)
    assert time.monotonic() - began < FOREVER_S / 2


def test_nothing_is_waited_for_where_originals_are_plain() -> None:
    began = time.monotonic()
    wait_for_keys(Settings(vault=VaultSettings(originals="plain")), within_s=FOREVER_S)
    assert time.monotonic() - began < FOREVER_S / 2
