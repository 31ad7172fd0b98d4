"""Which file ``devicevault export`` writes: ``GROUP/DEVICE.cfg``, whatever the inventory's names hold.

Different names never meet in one file: what a file name can't hold safely is written as the percent-encoded bytes of
its UTF-8.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final

#: Bytes a file system takes for one name are 255; the rest is for endings, and for what is written beside a file.
NAME_MAX_BYTES: Final = 200
#: Between a device's name and that of one of its further artifacts; no safe name holds it.
ARTIFACT_SEPARATOR: Final = "+"
MAIN_ARTIFACT: Final = "running"

_ENDINGS: Final = {
    "text/plain": ".cfg",
    "application/json": ".json",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "text/csv": ".csv",
    "application/gzip": ".gz",
    "application/x-tar": ".tar",
    "application/zip": ".zip",
    "application/octet-stream": ".bin",
}
#: The ending of a file's own name, where an artifact is a file.
_OWN_ENDING: Final = re.compile(r"(?:\.tar)?\.[A-Za-z0-9]{1,8}\Z")


def is_text(media_type: str) -> bool:
    """Whether an artifact of this type is a text, line by line, and not a file to be kept as it is."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in ("application/json", "application/xml")


def path_of(
    group: str, device: str, artifact: str = MAIN_ARTIFACT, media_type: str = "text/plain", *, is_main: bool = True
) -> PurePosixPath:
    """Where an artifact belongs, below the folder of all groups.

    The main artifact of a device has the device's name alone, any other ``DEVICE+ARTIFACT``.
    """
    name = safe_name(device)
    ending = ending_of(artifact, media_type)
    if not is_main:
        name += ARTIFACT_SEPARATOR + safe_name(artifact.removesuffix(ending))
    return PurePosixPath(safe_name(group), _fitting(name) + ending)


def safe_name(name: str) -> str:
    """``name`` as one part of a path: never empty, hidden, absolute or a way up; the same for the same name only."""
    is_composed = unicodedata.is_normalized("NFC", name)
    safe = "".join(_safe(character, is_composed=is_composed) for character in name)
    if safe.startswith((".", "-")):
        safe = _encoded(safe[0]) + safe[1:]
    return _fitting(safe) or "%"


def _safe(character: str, *, is_composed: bool) -> str:
    if character.isascii():
        return character if character.isalnum() or character in "._-" else _encoded(character)
    return character if character.isalnum() and is_composed else _encoded(character)


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _fitting(name: str) -> str:
    """A name no file system refuses for its length; what is cut off is told by a digest."""
    raw = name.encode("utf-8", "surrogatepass")
    if len(raw) <= NAME_MAX_BYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{raw[: NAME_MAX_BYTES - 17].decode('utf-8', 'ignore')}%{digest}"


def ending_of(artifact: str, media_type: str) -> str:
    """What tells a file's kind: ``.cfg``, ``.json``, or for what is no text the ending of the artifact's own name."""
    if not is_text(media_type) and (own := _OWN_ENDING.search(artifact)):
        return own[0]
    return _ENDINGS.get(media_type.partition(";")[0].strip().lower(), ".cfg" if is_text(media_type) else ".bin")
