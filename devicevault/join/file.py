"""The join file: JSON, for root of one worker's host only, since it holds passwords and the digest's secret."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from devicevault import __version__, names
from devicevault.errors import ConfigurationError, Fault, UsageError
from devicevault.settings import Settings, load_settings
from devicevault.tomlfile import read_text

VERSION: Final = 1
#: Stands in the settings' URLs for the path of the authority's certificate on the worker's host.
AUTHORITY_PLACE: Final = "@AUTHORITY@"


class JoinFile(BaseModel):
    """What a worker's host needs of the vault; never the private key, never the database."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    v: int = VERSION
    #: The vault's release.
    release: str = __version__
    group: str = Field(pattern=names.GROUP_PATTERN)
    #: The settings of the worker's host, as TOML.
    settings: str = Field(repr=False)
    #: Texts of the key files; empty where originals are not sealed.
    public_key: str = ""
    digest_key: str = Field("", repr=False)
    #: Platform pages of this site, by name.
    pages: dict[str, str] = Field(default_factory=dict)
    #: Certificate of the authority that vouches for broker and Redis, as PEM; empty for the system's own.
    authority: str = ""

    def shared_settings(self) -> Settings:
        """The settings in the file, by themselves. Raises :class:`ConfigurationError` for what this release can't."""
        with tempfile.TemporaryDirectory(prefix="devicevault-join-") as folder:
            path = Path(folder) / "settings.toml"
            path.write_text(self.settings, "utf-8")
            return load_settings(path, {})

    def write(self, path: Path) -> None:
        """Write the file, for its owner only. Raises :class:`UsageError` when there is one already."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise UsageError(f"{path} is there already", "name another file with --output, or delete it") from None
        except OSError as error:
            raise UsageError(f"{path} can't be written: {error.strerror}", "name another file with --output") from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> JoinFile:
        """The join file at ``path``. Raises :class:`ConfigurationError` when it is none, or open to others."""
        text = read_text(path, if_missing="bring it from the vault: devicevault join export --group NAME")
        if path.stat().st_mode & stat.S_IRWXO:
            raise ConfigurationError(Fault(str(path), "others may read the passwords in it", f"chmod o= {path}"))
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ConfigurationError(
                Fault(str(path), f"is no join file of this release: {first['msg']}", "export it anew", key=place)
            ) from None
        if found.v != VERSION:
            raise ConfigurationError(
                Fault(str(path), f"is of release {found.release}", "install the same release on vault and worker")
            )
        return found
