"""The one line that stands for a backup that is a file and no text."""

from __future__ import annotations

import re
from typing import Final

_MAX_CHARACTERS: Final = 1000
#: Bytes in UTF-8; a text of more is no such line, and need not be decompressed to know it.
MAX_BYTES: Final = 4 * _MAX_CHARACTERS
_LINE: Final = re.compile(r".+: (?P<bytes>\d{1,15}) bytes, [a-z0-9-]+:[0-9a-f:]+\n")


def described(name: str, size: int, digest: str) -> str:
    """The line for a file of ``size`` bytes."""
    return f"{name}: {size} bytes, {digest}\n"


def described_bytes(text: str) -> int | None:
    """How many bytes the file has that this text describes; ``None`` for the text of a configuration."""
    line = _LINE.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    return int(line["bytes"]) if line else None
