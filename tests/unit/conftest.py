"""What the tests of commands share: a vault of their own, with keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from devicevault.settings import Settings, load_settings
from devicevault.vault_keys import create_keys


@pytest.fixture
def environ(tmp_path: Path, sqlite_url: str) -> dict[str, str]:
    """Variables that lead every setting of the vault into this test's folder."""
    return {
        "DEVICEVAULT_DATABASE_URL": sqlite_url,
        "DEVICEVAULT_VAULT__PUBLIC_KEY": str(tmp_path / "vault.pub"),
        "DEVICEVAULT_VAULT__PRIVATE_KEY": str(tmp_path / "vault.key"),
        "DEVICEVAULT_VAULT__DIGEST_KEY": str(tmp_path / "vault.digest"),
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """Those settings, once the keys are made."""
    settings = load_settings(environ=environ)
    create_keys(settings.vault)
    return settings
