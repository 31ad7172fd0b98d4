"""Secrets that open a source: the inventory names where they are, and never holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ValidationInfo

from devicevault.credentials.source import LiteralSource, SecretSource, secret_source
from devicevault.errors import CredentialUnusable
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.unfit import Unfit

_WAYS: Final = '{ file = "PATH" }, { systemd = "NAME" }, { env = "VARIABLE" } or { command = ["PROGRAM", …] }'


def _reference(value: Any, info: ValidationInfo) -> SecretSource:
    folder = info.context.folder if info.context else Path("/")
    try:
        source = secret_source(value, folder)
    except ValueError as error:
        raise Unfit(str(error), f"write {_WAYS}") from None
    if isinstance(source, LiteralSource):
        raise Unfit("is a secret in the inventory, which many may read", f"say where it is: {_WAYS}")
    return source


#: A field of a source's table that says where a secret is.
Secret = Annotated[Any, BeforeValidator(_reference)]


def read_secret(source: SecretSource, key: str) -> str:
    """The secret as it stands there now: the first line of it. Raises :class:`SourceFailed`."""
    try:
        text = source.read()
    except CredentialUnusable as error:
        raise SourceFailed(f"{key}: {error.problem}", "whoever collects must be able to read it") from None
    line = text.partition("\n")[0].strip()
    if not line:
        raise SourceFailed(f"{key}: the secret read is empty")
    return line
