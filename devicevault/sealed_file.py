"""An exported original: a file that is opened anywhere, with nothing but the key.

A line that tells what it is, a line of JSON that tells whose original it is and which key opens it, then the original
as the worker sealed it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from devicevault.errors import UsageError

FIRST_LINE: Final = b"DeviceVault sealed original 1\n"
#: Follows the name the opened file would have.
ENDING: Final = ".sealed"
#: Bytes of the line of JSON, at most.
ABOUT_MAX_BYTES: Final = 100_000


class About(BaseModel):
    """Whose original it is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: str
    device_id: str
    group: str
    platform: str
    artifact: str
    media_type: str
    revision: int
    collected_at: AwareDatetime | datetime
    key_id: str


def packed(about: About, sealed: bytes) -> bytes:
    """The file's content."""
    return FIRST_LINE + about.model_dump_json().encode() + b"\n" + sealed


def unpacked(content: bytes, name: str) -> tuple[About, bytes]:
    """What a file's content tells, and the sealed original. Raises :class:`UsageError` for any other file."""
    first, _, rest = content.partition(b"\n")
    line, end, sealed = rest.partition(b"\n")
    try:
        if first + b"\n" != FIRST_LINE or not end or len(line) > ABOUT_MAX_BYTES:
            raise ValueError("another kind of file")
        return About.model_validate_json(line), sealed
    except (ValueError, ValidationError):
        raise UsageError(
            f"{name} is no sealed original of this release", "name one that `devicevault export --originals` wrote"
        ) from None
