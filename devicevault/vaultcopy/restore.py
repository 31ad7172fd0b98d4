"""Put a vault together again from its backup."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from devicevault.errors import ServiceUnavailable
from devicevault.privatefile import write_private
from devicevault.settings import Settings, load_settings
from devicevault.store.copying import bring_to_newest, copy_from_file, refuse_filled
from devicevault.store.engine import connect, translated
from devicevault.vault_keys import DAEMONS_GROUP
from devicevault.vaultcopy import archive
from devicevault.vaultcopy.files import CONFIG, CREDENTIALS, DROP_INS, PRIVATE_KEY, place_of
from devicevault.vaultcopy.passphrase import decrypted


@dataclass(frozen=True)
class Restored:
    """What was done."""

    manifest: archive.Manifest
    database: str
    written: tuple[Path, ...]
    #: Files that were there and said something else, under the names they have now.
    kept: tuple[Path, ...]
    #: The collector groups of its devices.
    groups: tuple[str, ...]


def restore(path: Path, config: Path, passphrase: str = "", *, with_settings: bool = True) -> Restored:
    """Restore a backup on this host: settings, then keys where a passphrase is given, then the database.

    Nothing is lost by it: a file that is there is kept under another name, and a database with devices in it is
    refused before anything is written. Raises :class:`~devicevault.errors.UsageError`,
    :class:`~devicevault.errors.ConfigurationError` and :class:`ServiceUnavailable`.
    """
    with archive.Archive(path) as backup:
        files = backup.files(archive.SETTINGS) if with_settings else {}
        settings = _settings_after(files, config)
        if passphrase:
            files |= archive.files_in(decrypted(backup.small(archive.SECRETS), passphrase), f"{path}: the keys")
        engine = connect(settings.database_url, create=True)
        with translated(engine.url):
            refuse_filled(engine)
        engine.dispose()
        try:
            with tempfile.TemporaryDirectory(prefix="devicevault-restore-", dir=_roomy(settings)) as folder:
                database = Path(folder) / "database"
                backup.save_database(database)
                bring_to_newest(database)
                groups = _groups(database)
                written, kept = _write_files(files, settings, config)
                copy_from_file(database, settings.database_url)
        except OSError as error:
            place = error.filename or settings.database_url
            raise ServiceUnavailable(f"{place}: {error.strerror}", "run as root, and make room") from None
        return Restored(backup.manifest, str(engine.url.render_as_string(hide_password=True)), written, kept, groups)


def _groups(database: Path) -> tuple[str, ...]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return tuple(row[0] for row in connection.execute('SELECT DISTINCT "group" FROM devices ORDER BY 1'))


def _settings_after(files: Mapping[str, str], config: Path) -> Settings:
    """The settings as they will be. Tried before anything is written: a backup may not fit this host."""
    if CONFIG not in files and not any(name.startswith(f"{DROP_INS}/") for name in files):
        return load_settings(config if config.exists() else None)
    with tempfile.TemporaryDirectory(prefix="devicevault-restore-") as folder:
        trial = Path(folder) / CONFIG
        trial.write_text(files.get(CONFIG, ""))
        drop_ins = trial.parent / "config.d"
        drop_ins.mkdir()
        for name, text in files.items():
            place = place_of(name, Settings(), trial)
            if name.startswith(f"{DROP_INS}/") and place is not None:
                place.path.write_text(text)
        return load_settings(trial)


def _write_files(
    files: Mapping[str, str], settings: Settings, config: Path
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files that were written, and those that were moved aside for them."""
    written: list[Path] = []
    kept: list[Path] = []
    for name, text in files.items():
        place = place_of(name, settings, config)
        if place is None or (place.path.exists() and place.path.read_bytes() == text.encode()):
            continue
        place.path.parent.mkdir(parents=True, exist_ok=True)
        before = place.path.stat() if place.path.exists() else None
        if os.path.lexists(place.path):
            kept.append(_moved_aside(place.path))
        write_private(place.path, text.encode(), place.mode)
        if before is not None:
            _as_before(place.path, before)
        elif name not in (PRIVATE_KEY, CREDENTIALS):
            _give_to_daemons(place.path)
        written.append(place.path)
    return tuple(written), tuple(kept)


def _moved_aside(path: Path) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return path.rename(path.with_name(f"{path.name}.before-restore-{moment}"))


def _as_before(path: Path, before: os.stat_result) -> None:
    """Owner and mode of the file in whose place it is: the package gave the file to those who need it."""
    if os.geteuid() == 0:
        os.chown(path, before.st_uid, before.st_gid)
    path.chmod(stat.S_IMODE(before.st_mode))


def _give_to_daemons(path: Path) -> None:
    if os.geteuid() == 0:
        with contextlib.suppress(LookupError):  # no package installed here, so no such group
            shutil.chown(path, group=DAEMONS_GROUP)


def _roomy(settings: Settings) -> Path | None:
    """A folder on the disk that has to hold the database anyway."""
    path = settings.database_url.removeprefix("sqlite:///")
    folder = Path(path).parent
    return folder if path != settings.database_url and folder.is_dir() else None
