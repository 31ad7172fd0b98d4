"""Put what a join file holds where a worker looks for it."""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devicevault.errors import ConfigurationError, Fault, UsageError
from devicevault.join.file import AUTHORITY_PLACE, JoinFile
from devicevault.platforms.loader import read_page
from devicevault.settings import Settings, load_settings
from devicevault.vault_keys import DAEMONS_GROUP, DIGEST, PUBLIC

#: After the drop-ins a person may have written, before those that shall have the last word.
DROP_IN: Final = "50-join.toml"
AUTHORITY: Final = "authority.pem"
SETTINGS_MODE: Final = 0o640
PUBLIC_MODE: Final = 0o644


@dataclass(frozen=True)
class Installed:
    """The files that were written."""

    settings: Path
    files: tuple[Path, ...]


def install(joined: JoinFile, config: Path, *, replace: bool) -> Installed:
    """Write the files of ``joined``; ``config`` is the host's config.toml.

    Raises :class:`UsageError` on a host that is a vault itself, and where other keys are there unless ``replace``;
    :class:`ConfigurationError` when the settings in the file do not fit this host's own.
    """
    drop_in = config.parent / "config.d" / DROP_IN
    authority = config.parent / AUTHORITY
    joined = joined.model_copy(update={"settings": joined.settings.replace(AUTHORITY_PLACE, str(authority))})
    settings = _checked(joined, config)
    _refuse_vault(joined, settings, replace=replace)
    texts: dict[Path, tuple[str, int]] = {drop_in: (joined.settings, SETTINGS_MODE)}
    if joined.public_key:
        texts[settings.vault.public_key] = (joined.public_key, PUBLIC.mode)
        texts[settings.vault.digest_key] = (joined.digest_key, DIGEST.mode)
    if joined.authority:
        texts[authority] = (joined.authority, PUBLIC_MODE)
    for name, page in joined.pages.items():
        texts[settings.platforms_dir / f"{name}.toml"] = (page, PUBLIC_MODE)
    for path, (text, mode) in texts.items():
        _write(path, text, mode)
    return Installed(drop_in, tuple(texts))


def _checked(joined: JoinFile, config: Path) -> Settings:
    """The settings this host will have. Settings and pages are tried before anything is written."""
    with tempfile.TemporaryDirectory(prefix="devicevault-join-") as folder:
        trial = Path(folder)
        if config.exists():
            shutil.copy(config, trial / "config.toml")
        else:
            (trial / "config.toml").touch()
        drop_ins = trial / "config.d"
        drop_ins.mkdir()
        for there in sorted((config.parent / "config.d").glob("*.toml")):
            shutil.copy(there, drop_ins / there.name)
        (drop_ins / DROP_IN).write_text(joined.settings)
        settings = load_settings(trial / "config.toml")
        for name, page in joined.pages.items():
            path = trial / f"{name}.toml"
            if path.name != f"{name}.toml" or path.parent != trial:
                raise ConfigurationError(Fault("the join file", f"{name!r} is no platform's name", "export it anew"))
            path.write_text(page)
            read_page(path)
    return settings


def _refuse_vault(joined: JoinFile, settings: Settings, *, replace: bool) -> None:
    vault = settings.vault
    if os.path.lexists(vault.private_key):
        raise UsageError(
            f"this host has {vault.private_key}: it is a vault itself",
            "import the file on the worker's host; a worker on the vault's own host needs none",
        )
    there = vault.public_key
    if joined.public_key and not replace and there.exists() and there.read_text() != joined.public_key:
        raise UsageError(f"{there} is another vault's key", "to leave that vault for this one, add --replace")


def _write(path: Path, text: str, mode: int) -> None:
    """All of the file or nothing, readable by the daemons' group where ``mode`` says so."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if os.geteuid() == 0:
            with contextlib.suppress(KeyError):  # no package installed here, so no such group
                os.chown(draft, 0, grp.getgrnam(DAEMONS_GROUP).gr_gid)
        draft.chmod(mode)
        draft.rename(path)
    except OSError as error:
        raise ConfigurationError(Fault(str(path), f"can't be written: {error.strerror}", "run as root")) from None
