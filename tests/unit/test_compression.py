"""What is compressed comes back; what is forged, damaged or older is told from it."""

from __future__ import annotations

import contextlib
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.compression import CompressionError, beginning, compress, decompress

TEXT = "".join(f"interface ethernet {number}\n" for number in range(1000)).encode()
#: A frame's header (RFC 8878, 3.1.1) that wants this much memory before anything else is read: 1.9 TB.
WANTS_TERABYTES = b"\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00"


@given(st.binary(max_size=2000))
def test_what_is_compressed_comes_back(raw: bytes) -> None:
    assert decompress(compress(raw), len(raw)) == decompress(compress(raw)) == raw


def test_a_large_file_comes_back() -> None:
    """Its frame needs no more memory than is allowed for, also where nothing in it repeats."""
    raw = random.Random(1).randbytes(20_000_000)
    assert decompress(compress(raw), len(raw)) == raw


@given(st.binary(max_size=2000))
def test_what_an_earlier_release_compressed_is_read(raw: bytes) -> None:
    assert decompress(zlib.compress(raw), len(raw)) == decompress(zlib.compress(raw)) == raw


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for start in (b"", compress(TEXT)[:4], compress(TEXT)[:50], zlib.compress(TEXT)[:50]):
        with contextlib.suppress(CompressionError):
            assert len(decompress(start + data, 100_000)) <= 100_000


@pytest.mark.parametrize("compressed", [compress(TEXT), zlib.compress(TEXT)], ids=["zstd", "zlib"])
class TestRefused:
    def test_cut_short_anywhere(self, compressed: bytes) -> None:
        for end in random.Random(1).sample(range(len(compressed)), 20):
            with pytest.raises(CompressionError, match=r"is (cut short|not compressed data)"):
                decompress(compressed[:end], len(TEXT))

    def test_followed_by_something(self, compressed: bytes) -> None:
        with pytest.raises(CompressionError, match="followed by something else"):
            decompress(compressed + b"!", len(TEXT))

    def test_larger_than_it_may_be(self, compressed: bytes) -> None:
        with pytest.raises(CompressionError, match=f"holds more than {len(TEXT) - 1} bytes"):
            decompress(compressed, len(TEXT) - 1)


def test_a_frame_that_wants_more_memory_than_there_is_is_refused() -> None:
    with pytest.raises(CompressionError, match="not compressed data"):
        decompress(WANTS_TERABYTES)


def test_the_beginning_is_read_of_what_is_too_long_or_followed_by_something() -> None:
    for compressed in (compress(TEXT), zlib.compress(TEXT)):
        assert beginning(compressed, 100) == TEXT[:100]
        assert beginning(compressed + b"!", len(TEXT)) == TEXT
    assert beginning(b"no such thing", 100) == b""
