"""Which files of a vault its backup holds, and where they go in a restore.

A file is known by what it is for, not by its path: a backup can't say where on another host something is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from devicevault.settings import Settings

CONFIG: Final = "config.toml"
DROP_INS: Final = "config.d"
INVENTORY: Final = "inventory"
PLATFORMS: Final = "platforms"
PRIVATE_KEY: Final = "vault.key"
PUBLIC_KEY: Final = "vault.pub"
DIGEST_KEY: Final = "vault.digest"
CREDENTIALS: Final = "credentials.toml"

SETTINGS_MODE: Final = 0o640
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.toml")


class VaultFile(NamedTuple):
    """A file by its purpose: ``config.toml``, ``platforms/my_switch.toml``, ``vault.key``…"""

    name: str
    path: Path
    mode: int


def settings_files(settings: Settings, config: Path) -> Iterator[VaultFile]:
    """Settings, inventory and platform pages, as far as they are there."""
    found = [(CONFIG, config), (INVENTORY, settings.inventory.path)]
    for folder, path in ((DROP_INS, config.parent / "config.d"), (PLATFORMS, settings.platforms_dir)):
        pages = sorted(path.glob("[!.]*.toml")) if path.is_dir() else []
        found += [(f"{folder}/{page.name}", page) for page in pages if _NAME.fullmatch(page.name)]
    yield from (VaultFile(name, path, SETTINGS_MODE) for name, path in found if path.is_file())


def secret_files(settings: Settings) -> Iterator[VaultFile]:
    """Keys and credentials, as far as they are there. Raises :class:`PermissionError` for who may not look."""
    for name, path, mode in _secret_places(settings):
        try:
            path.stat()
        except FileNotFoundError:
            continue
        yield VaultFile(name, path, mode)


def place_of(name: str, settings: Settings, config: Path) -> VaultFile | None:
    """Where the file of this name belongs on this host; ``None`` for a name this release does not know."""
    folder, _, page = name.rpartition("/")
    folders = {DROP_INS: config.parent / "config.d", PLATFORMS: settings.platforms_dir}
    if folder in folders and _NAME.fullmatch(page):
        return VaultFile(name, folders[folder] / page, SETTINGS_MODE)
    known = {
        CONFIG: VaultFile(CONFIG, config, SETTINGS_MODE),
        INVENTORY: VaultFile(INVENTORY, settings.inventory.path, SETTINGS_MODE),
        **{secret: VaultFile(secret, path, mode) for secret, path, mode in _secret_places(settings)},
    }
    return known.get(name)


def _secret_places(settings: Settings) -> tuple[tuple[str, Path, int], ...]:
    vault = settings.vault
    return (
        (PRIVATE_KEY, vault.private_key, 0o600),
        (PUBLIC_KEY, vault.public_key, 0o644),
        (DIGEST_KEY, vault.digest_key, 0o640),
        (CREDENTIALS, settings.credentials_file, 0o600),
    )
