"""Where one secret comes from.

``"text"``, ``{ file = "PATH" }``, ``{ systemd = "NAME" }``, ``{ env = "VARIABLE" }``, ``{ command = ["PROGRAM", …] }``.
A secret is read when it is used, so a changed password needs no restart. No message tells a value.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from devicevault.credentials.command import CommandSource
from devicevault.credentials.permissions import exposure, remedy
from devicevault.errors import CredentialUnusable

_MAX_BYTES: Final = 256 * 1024


class SecretSource(Protocol):
    """Something that knows a secret."""

    def read(self) -> str:
        """The secret as it stands there. Raises :class:`CredentialUnusable`."""


@dataclass(frozen=True)
class LiteralSource:
    text: str = field(repr=False)

    def read(self) -> str:
        return self.text


@dataclass(frozen=True)
class FileSource:
    path: Path

    def read(self) -> str:
        try:
            exposed = exposure(self.path)
            if exposed:
                raise CredentialUnusable(f"{self.path}: {exposed}", remedy(self.path))
            return _text_of(self.path)
        except OSError as error:
            fix = "the worker's user must be able to read it"
            raise CredentialUnusable(f"{self.path} can't be read: {error.strerror}", fix) from None


@dataclass(frozen=True)
class SystemdSource:
    name: str

    def read(self) -> str:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        fix = f"give the unit LoadCredential={self.name}:PATH (systemctl edit) and restart it"
        if not folder:
            raise CredentialUnusable(f"systemd passed no credentials, so there is no {self.name!r}", fix)
        try:
            # systemd alone writes this folder and shows it to the unit's user alone.
            return _text_of(Path(folder, self.name))
        except OSError as error:
            raise CredentialUnusable(f"systemd credential {self.name!r} can't be read: {error.strerror}", fix) from None


@dataclass(frozen=True)
class VariableSource:
    name: str

    def read(self) -> str:
        value = os.environ.get(self.name)
        if value is None:
            raise CredentialUnusable(f"the variable {self.name} is not set", "set it in the worker's environment")
        return value


def secret_source(data: Any, folder: Path) -> SecretSource:
    """The source ``data`` describes; relative paths start from ``folder``. Raises :class:`ValueError`."""
    if isinstance(data, str):
        if not data:
            raise ValueError("is empty; leave the key out where there is no secret")
        return LiteralSource(data)
    if not isinstance(data, dict):
        raise ValueError('is a text, or a table such as { file = "PATH" }')
    match data:
        case {"file": str(path), **rest} if path and not rest:
            return FileSource(folder / path)
        case {"systemd": str(name), **rest} if name and "/" not in name and not rest:
            return SystemdSource(name)
        case {"env": str(name), **rest} if name and not rest:
            return VariableSource(name)
        case {"command": list(command), **limits}:
            return _command(command, limits, folder)
    raise ValueError("a table says where the secret is with one of: file, systemd, env, command")


def _command(command: list[Any], limits: dict[str, Any], folder: Path) -> CommandSource:
    if not command or not all(isinstance(part, str) and part for part in command):
        raise ValueError('command is a list of texts: ["PROGRAM", "ARGUMENT"]')
    unknown = sorted(limits.keys() - {"timeout_s", "cache_s"})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; beside command there are timeout_s and cache_s")
    timeout_s, cache_s = limits.get("timeout_s", 10), limits.get("cache_s", 60)
    if not (_is_number(timeout_s) and 0 < timeout_s <= 300):
        raise ValueError("timeout_s is a number of seconds from above 0 to 300")
    if not (_is_number(cache_s) and 0 <= cache_s <= 86400):
        raise ValueError("cache_s is a number of seconds from 0 to 86400")
    return CommandSource(tuple(command), float(timeout_s), float(cache_s), folder)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise CredentialUnusable(f"{path} is over {_MAX_BYTES // 1024} KB", "name the file that holds the secret alone")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise CredentialUnusable(f"{path} is not UTF-8 text", "save it as UTF-8") from None
