"""A result as a stream entry: nothing is lost on the way, and nothing wrong gets through."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.compression import compress, decompress
from devicevault.errors import MalformedMessage
from devicevault.messages import CollectFacts, CollectResult, LogLine
from devicevault.stream import Entry, decode, encode
from tests.results import artifact, at, request, result

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)


def fields_of(sent: CollectResult, **changed: bytes) -> dict[bytes, bytes]:
    fields = {name.encode(): value for name, value in encode(sent).items()}
    return fields | {name.encode(): value for name, value in changed.items()}


def with_metadata(sent: CollectResult, **changed: Any) -> dict[bytes, bytes]:
    fields = fields_of(sent)
    metadata = json.loads(fields[b"artifacts"])
    metadata[0] |= changed
    return fields | {b"artifacts": json.dumps(metadata).encode()}


def texts_in(fields: dict[bytes, bytes]) -> list[str]:
    """As whoever keeps them asks for them."""
    return [artifact.text for artifact in decode(fields).artifacts]


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=3),
    message=TEXTS,
    original=st.binary(max_size=100),
    duration=st.integers(0, 2**62),
)
def test_what_is_encoded_is_decoded_unchanged(texts: list[str], message: str, original: bytes, duration: int) -> None:
    artifacts = [artifact(text, name=f"n{i}", original=original) for i, text in enumerate(texts)]
    sent = result(
        request(),
        "success",
        *artifacts,
        error_message=message,
        log=(LogLine(time=at(1), message=message),),
        facts=CollectFacts(model=message),
        collection_duration_ms=duration,
        is_binary=bool(duration % 2),
    )
    assert decode(fields_of(sent)) == sent


def test_long_texts_travel_compressed_and_short_ones_readable() -> None:
    short, long = "hostname core-sw1\n", "interface ethernet 1\n" * 1000
    fields = encode(result(request(), "success", short, long))
    assert fields["device_config"] == short.encode()
    assert decompress(fields["text:1"]) == long.encode()
    assert [known["encoding"] for known in json.loads(fields["artifacts"])] == ["identity", "zstd"]


def test_every_scalar_is_a_readable_field_of_its_own() -> None:
    fields = encode(result(request(), "failure", error="timeout", collection_duration_ms=1500))
    assert fields["status"] == b"failure"
    assert fields["error"] == b"timeout"
    assert fields["collection_duration_ms"] == b"1500"
    assert fields["initiated_at"] == b"2026-05-04T06:00:00Z"
    assert fields["is_binary"] == b"false"


def test_unknown_fields_and_unknown_statuses_are_tolerated() -> None:
    fields = fields_of(result(request(), "failure"), status=b"postponed", colour=b"green")
    assert decode(fields).status == "postponed"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"v": b"2"}, "message version 2"),
        ({"task_id": b""}, "task_id"),
        ({"status": b"queued"}, "never a result"),
        ({"status": b"\xff"}, "status is not UTF-8"),
        ({"log": b"{"}, "log is not JSON"),
        ({"log": b"[" * 100_000}, "log is not JSON"),
        ({"log": b"{}"}, "log is not a JSON array"),
        ({"facts": b"[]"}, "facts is not a JSON object"),
        ({"artifacts": b"[1]"}, "artifacts.0 is not an object"),
        ({"artifacts": b"[]"}, "a success without a configuration"),
        ({"device_config": b"hostname other\n"}, "artifact 'running' is another than its digest tells of"),
        ({"device_config": b"hostname same\xff\n"}, "artifact 'running' is not UTF-8"),
        ({"device_config": b"hostname"}, "does not hold the 15 bytes"),
        ({"initiated_at": b"yesterday"}, "initiated_at"),
        ({"attempt": b"-1"}, "attempt"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(change: dict[str, bytes], told: str) -> None:
    with pytest.raises(MalformedMessage, match=told):
        texts_in(fields_of(result(request(), "success", "hostname same\n"[:14] + "\n"), **change))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 2**40}, "not a number of bytes up to"),
        ({"size": "12"}, "not a number of bytes up to"),
        ({"encoding": "lzma"}, "encoding 'lzma' is unknown"),
        ({"encoding": "zstd"}, "artifact 'running' is not compressed data"),
        ({"digest": "sha256:0"}, "artifact 'running' is another than its digest tells of"),
    ],
)
def test_wrong_metadata_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(MalformedMessage, match=told):
        texts_in(with_metadata(result(request(), "success", "hostname same\n"), **change))


def test_a_text_that_did_not_come_is_refused() -> None:
    fields = fields_of(result(request(), "success", "one\n", "two\n"))
    del fields[b"text:1"]
    with pytest.raises(MalformedMessage, match="text:1 is missing"):
        decode(fields)


def test_a_compressed_text_cut_short_or_with_more_behind_it_is_refused() -> None:
    sent = result(request(), "success", "interface ethernet 1\n" * 1000)
    fields = fields_of(sent)
    for came, told in (
        (fields[b"device_config"][:-5], "is cut short"),
        (fields[b"device_config"] + b"!", "is followed by something else"),
        (compress(b"interface ethernet 2\n" * 1000), "is another than its digest tells of"),
        (compress(b"interface ethernet 1\n" * 999), "has not the 21000 bytes"),
    ):
        with pytest.raises(MalformedMessage, match=f"the text of artifact 'running' {told}"):
            texts_in(fields | {b"device_config": came})


def test_what_a_worker_of_an_earlier_release_compressed_is_read_and_stored_as_it_came() -> None:
    text = "interface ethernet 1\n" * 1000
    older = zlib.compress(text.encode())
    fields = with_metadata(result(request(), "success", text), encoding="zlib")
    decoded = decode({**fields, b"device_config": older})
    assert decoded.device_config == text
    assert decoded.artifacts[0].compressed == older


def test_two_artifacts_of_one_name_are_refused() -> None:
    with pytest.raises(MalformedMessage, match="same name"):
        decode(fields_of(result(request(), "success", artifact("one\n"), artifact("two\n"))))


def test_a_small_entry_can_not_fill_the_memory() -> None:
    """200 MB of zeros compress to 20 KB; the size told bounds what is decompressed."""
    bomb = compress(bytes(200_000_000))
    fields = with_metadata(result(request(), "success", "hostname same\n"), encoding="zstd", size=1000)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="artifact 'running' holds more than 1000 bytes"):
            texts_in(fields | {b"device_config": bomb})
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_texts_are_bounded_together() -> None:
    fields = fields_of(result(request(), "success", "a" * 600, "b" * 600))
    with pytest.raises(MalformedMessage, match=r"artifacts.1.size is not a number of bytes up to 400"):
        decode(fields, max_bytes=1000)


@pytest.mark.parametrize("name", ["task_id", "device_id", "device", "run_id", "group", "status"])
def test_a_name_no_database_can_index_is_refused(name: str) -> None:
    with pytest.raises(MalformedMessage, match=f"{name} is longer than 250 characters"):
        decode(fields_of(result(request(), "failure"), **{name: b"x" * 251}))


@pytest.mark.parametrize("name", ["a\ud800", "a\nb", "\x1b[2J"])
def test_a_name_no_line_can_hold_is_refused(name: str) -> None:
    with pytest.raises(MalformedMessage, match=r"artifacts\.0\.name holds signs"):
        decode(with_metadata(result(request(), "success", "hostname a\n"), name=name))


def test_a_flood_of_log_lines_is_capped() -> None:
    line = {"time": "2026-05-04T06:00:00Z", "message": "x" * 10_000}
    fields = fields_of(result(request(), "failure"), log=json.dumps([line] * 1000).encode())
    log = decode(fields).log
    assert len(log) == 200
    assert {len(step.message) for step in log} == {500}


def test_an_entry_tells_its_fields_to_people_whatever_is_in_them() -> None:
    entry = Entry("1-0", {b"device": b"core\xff"})
    assert entry.text("device") == "core\N{REPLACEMENT CHARACTER}"
    assert entry.text("task_id") == ""
