"""Texts and files as they travel and are stored: compressed, each a frame of zstd (RFC 8878).

What earlier releases compressed with zlib (RFC 1950) is read as well; its first bytes tell which it is.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: A tenth of the time zlib takes at its usual level, and not larger: docs/performance.md has the figures.
LEVEL: Final = 1
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: Binary logarithm of the bytes a frame may need beside its content: the least that readers are advised to support, and
#: sixteen times what is written here. A forged frame could ask for gigabytes.
_OPTIONS: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 23}


class CompressionError(ValueError):
    """What is wrong with compressed data, in words that fit behind its name."""


def compress(raw: bytes) -> bytes:
    """Compressed, so that :func:`decompress` reads it."""
    return zstd.compress(raw, LEVEL)


def decompress(data: bytes, max_bytes: int | None = None) -> bytes:
    """What was compressed, if it is at most ``max_bytes`` long.

    Raises :class:`CompressionError` for what is longer, of which one byte more is read at the most, and for what is not
    compressed, cut short, or followed by anything else.
    """
    read, is_whole, behind = _read(data, -1 if max_bytes is None else max_bytes + 1)
    if max_bytes is not None and len(read) > max_bytes:
        raise CompressionError(f"holds more than {max_bytes} bytes")
    if not is_whole:
        raise CompressionError("is cut short")
    if behind:
        raise CompressionError("is followed by something else")
    return read


def beginning(data: bytes, max_bytes: int) -> bytes:
    """As much as can be read of what may be compressed: at most ``max_bytes``, nothing where it is not."""
    try:
        return _read(data, max_bytes)[0]
    except CompressionError:
        return b""


def _read(data: bytes, max_bytes: int) -> tuple[bytes, bool, bytes]:
    """At most so many bytes, all where it is negative; whether that is the whole; and what stands behind it."""
    try:
        if data.startswith(_ZSTD):
            frame = zstd.ZstdDecompressor(options=_OPTIONS)
            return frame.decompress(data, max_bytes), frame.eof, frame.unused_data
        older = zlib.decompressobj()
        return older.decompress(data, max(0, max_bytes)), older.eof, older.unused_data
    except (zstd.ZstdError, zlib.error):
        raise CompressionError("is not compressed data") from None
