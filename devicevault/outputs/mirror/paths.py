"""Where in the mirror a device's text stands: safe names, whatever the inventory holds.

A backup that is a file and no text (an archive, a controller's export) holds secrets, so that the mirror has one line
about it only, with its size and keyed digest: in ``DEVICE.ucs.txt``, say, for it is no ``.ucs`` file.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from devicevault.outputs.filenames import ending_of, is_text

#: Bytes of a name before its ending; file systems take 255 for the whole.
NAME_MAX_BYTES: Final = 180
#: Where the files of archived devices stand; no group's name begins like this.
ARCHIVE: Final = "_archive/"
#: What Windows takes for a device of its own, with any ending.
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
#: Signs that mean something to a shell, to Windows, or to these paths: a tilde parts a name from its digest.
_UNSAFE: Final = frozenset("/\\:*?\"<>|~`$;&'")
#: Added to the ending of a file that is told of only.
_TOLD: Final = ".txt"
_BINARY: Final = "application/octet-stream"
_MEDIA_TYPES: Final = {
    ".json": "application/json",
    ".xml": "text/xml",
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".tar": "application/x-tar",
    ".zip": "application/zip",
}


def safe_name(name: str) -> str:
    """``name`` as one component of a path on any file system; two names may become one."""
    composed = unicodedata.normalize("NFC", name)
    kept = "".join("_" if _is_unsafe(sign) else sign for sign in composed)
    # No hidden file, no option, no `..`; Windows drops dots at the end.
    if kept[:1] in (".", "-"):
        kept = "_" + kept[1:]
    kept = kept.rstrip(".") or "_"
    if kept.partition(".")[0].lower() in _RESERVED:
        kept = "_" + kept
    raw = kept.encode()
    if len(raw) <= NAME_MAX_BYTES:
        return kept
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return raw[:NAME_MAX_BYTES].decode(errors="ignore") + "_" + digest


def _is_unsafe(sign: str) -> bool:
    return sign in _UNSAFE or sign.isspace() or unicodedata.category(sign)[0] == "C"


def path_key(path: str) -> str:
    """What two paths have in common that are one file where letters' case and forms do not count."""
    return unicodedata.normalize("NFKC", path).casefold()


def path_for(
    group: str,
    name: str,
    device_id: str,
    artifact: str,
    media_type: str,
    *,
    is_main: bool,
    current: str,
    is_taken: Callable[[str], bool],
    is_archived: bool = False,
) -> str:
    """``GROUP/DEVICE.cfg``; an ``artifact`` that is not a device's main one stands before the ending.

    The file of an archived device stands below :data:`ARCHIVE`.
    Where another file has that path, a digest of the ``device_id`` is added. A file keeps its ``current`` path as long
    as that is either of the two, so that no device moves because another one came or went.
    """
    folder, stem = ARCHIVE * is_archived + safe_name(group), safe_name(name)
    kind = ending_of(artifact, media_type)
    ending = kind if is_main else f".{safe_name(artifact.removesuffix(kind))}{kind}"
    if not is_text(media_type):
        ending += _TOLD
    digest = hashlib.sha256(device_id.encode("utf-8", "surrogatepass")).hexdigest()
    candidates = [f"{folder}/{stem}{mark}{ending}" for mark in ("", *(f"~{digest[:size]}" for size in (8, 16, 64)))]
    if current in candidates:
        return current
    return next(path for path in candidates if not is_taken(path))


def media_type_of(path: str) -> str:
    """A media type for which :func:`path_for` gives this path's ending."""
    place = PurePosixPath(path)
    if place.suffix == _TOLD:
        return _MEDIA_TYPES.get(place.with_suffix("").suffix, _BINARY)
    return _MEDIA_TYPES.get(place.suffix, "text/plain")
