"""Back a vault up while it runs."""

from __future__ import annotations

import socket
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from devicevault.errors import ConfigurationError, Fault, ServiceUnavailable
from devicevault.settings import Settings
from devicevault.store import open_store
from devicevault.store.copying import copy_to_file
from devicevault.store.engine import translated
from devicevault.vaultcopy import archive
from devicevault.vaultcopy.files import VaultFile, secret_files, settings_files
from devicevault.vaultcopy.passphrase import encrypted


def back_up(settings: Settings, config: Path, path: Path, passphrase: str = "") -> archive.Manifest:
    """Write a backup of the vault to ``path``; with a passphrase, keys and credentials go in as well.

    The database is copied beside it first: the room for two of them is needed. Raises
    :class:`~devicevault.errors.UsageError`, :class:`ConfigurationError` for files this user may not read, and
    :class:`ServiceUnavailable`.
    """
    small = {archive.SETTINGS: archive.packed_files(_texts(settings_files(settings, config)))}
    if passphrase:
        secrets = archive.packed_files(_texts(secret_files(settings)))
        small[archive.SECRETS] = encrypted(secrets, passphrase)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            copy = Path(folder) / "copy"
            with open_store(settings.database_url) as store, translated(store.engine.url):
                schema_version = copy_to_file(store.engine, copy)
            about = _counts(copy) | {"host": socket.gethostname(), "schema_version": schema_version}
            return archive.write(path, copy, small, about)
    except (OSError, sqlite3.Error) as error:
        raise ServiceUnavailable(
            f"{path} can't be written: {getattr(error, 'strerror', None) or error}",
            "name a file in a folder that is there, and make room for two databases",
        ) from None


def _texts(files: Iterable[VaultFile]) -> dict[str, str]:
    texts: dict[str, str] = {}
    try:
        for file in files:
            texts[file.name] = file.path.read_text("utf-8")
    except OSError as error:
        place = str(error.filename)
        raise ConfigurationError(Fault(place, f"can't be read: {error.strerror}", "run as root")) from None
    except UnicodeDecodeError:
        raise ConfigurationError(Fault(str(file.path), "is not UTF-8 text", "correct it")) from None
    return texts


def _counts(copy: Path) -> dict[str, str | int]:
    with closing(sqlite3.connect(copy)) as connection:
        devices = connection.execute("SELECT count(*) FROM devices").fetchone()[0]
        revisions = connection.execute("SELECT count(*) FROM device_revisions").fetchone()[0]
    return {"devices": devices, "revisions": revisions}
