"""Whatever stands in the stream ends as a row or as a dead letter; the consumer neither dies of it nor stops at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis import Redis

from devicevault.daemons.consumer import Consumer
from devicevault.daemons.rules import Rules
from devicevault.daemons.service import Progress
from devicevault.errors import MalformedMessage
from devicevault.messages import CollectRequest, CollectResult, digest_of
from devicevault.settings import ConsumerSettings
from devicevault.store import Store, open_store, reader
from devicevault.stream import ResultReader, decode, encode, publish
from tests.consuming import WAITS
from tests.results import artifact, request, result
from tests.servers import wait_until

pytestmark = pytest.mark.services

STREAM = "device:results"
WITHIN_S = 30

Fields = dict[bytes, bytes]

#: Numbers no column holds, times no calendar has, texts no database takes.
NASTY = st.sampled_from(
    [
        b"",
        b"-1",
        b"9" * 30,
        b"1e400",
        b"nan",
        b"true",
        b"null",
        b"\0",
        b"a\0b",
        b"\xff\xfe",
        "\N{SNOWMAN}".encode(),
        b'"\\ud800"',
        b"x" * 3000,
        b"queued",
        b"suspect",
        b"success",
        b"0001-01-01T00:00:00Z",
        b"9999-12-31T23:59:59.999999-23:59",
        b"0001-01-01T00:00:00+23:59",
        b"[" * 2000,
        b'{"a": ' * 2000,
        b"[]",
        b"{}",
        b'[{"time": "9999-12-31T23:59:59-23:00", "message": "m"}]',
        b'[{"time": "2026-01-01T00:00:00Z", "message": "\\ud800\\u0000"}]',
        b'[{"name": "a", "size": 1e999, "digest": 3}]',
        b'[{"name": "a", "size": true, "digest": "d", "encoding": "zlib"}]',
        b'[{"name": "a", "size": 9, "digest": "d", "encoding": "zstd"}]',
        b'[{"name": "a\\ud800\\n", "size": 9, "digest": "d", "encoding": "zstd"}]',
        b"\x28\xb5\x2f\xfd",
        # a frame that wants a window of 2 TB
        b"\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00",
        b'[{"name": "a", "size": 0, "digest": "%s"}]' % digest_of(b"").encode(),
    ]
)
VALUES = NASTY | st.binary(max_size=50)
NAMES = st.sampled_from([*encode(result(request(), "success", "a\n", "b\n")), "unknown"]).map(str.encode)


def entry(device: str = "core-sw1") -> Fields:
    sent = result(request(device), "success", artifact("hostname a\n"), artifact("b\n", name="startup"))
    return {name.encode(): value for name, value in encode(sent).items()}


@st.composite
def entries(draw: st.DrawFn) -> Fields:
    """A result with some fields changed, taken away or strange; or nothing like one."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.dictionaries(st.binary(min_size=1, max_size=20), VALUES, min_size=1, max_size=5))
    fields = entry(f"sw{draw(st.integers(0, 3))}")
    for name in draw(st.lists(NAMES, max_size=3)):
        if draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = draw(VALUES)
    return fields or {b"empty": b""}


@given(entries())
@settings(max_examples=500, deadline=None)
def test_an_entry_is_read_or_refused_in_words(fields: Fields) -> None:
    refused = ""
    try:
        found = decode(fields)
        texts = {each.digest: each.text for each in found.artifacts}
    except MalformedMessage as error:
        refused = str(error)
    assert refused.isprintable()
    if not refused:
        assert found.status != "queued"
        assert all(digest_of(text.encode()) == digest for digest, text in texts.items())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*CollectRequest.model_fields, "unknown"]), inner, max_size=6)
        ),
        max_leaves=12,
    )
)
@settings(max_examples=300, deadline=None)
def test_a_request_is_read_or_refused_in_words(wire: object) -> None:
    base: dict[str, Any] = json.loads(request().model_dump_json())
    for candidate in (wire, {**base, **wire} if isinstance(wire, dict) else base):
        try:
            found = CollectRequest.from_wire(candidate)
        except MalformedMessage:
            continue
        assert CollectRequest.from_wire(json.loads(json.dumps(found.to_wire()))) == found


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(database_url: str, client: Redis) -> Iterator[Store]:
    """The database of a consumer that runs."""
    consumer_settings = ConsumerSettings(block_ms=5, batch_entries=50, tail_entries=0)
    stop = threading.Event()
    failures: list[BaseException] = []
    consumer = Consumer(
        lambda: open_store(database_url, migrate=True),
        ResultReader(client, STREAM, "here", consumer_settings),
        Rules(consumer_settings, WAITS, frozenset({"plain"}), max_bytes=1_000_000),
        stop=stop,
        progress=Progress(),
    )

    def run() -> None:
        try:
            consumer.run()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    with open_store(database_url, migrate=True) as opened:
        thread = threading.Thread(target=run)
        thread.start()
        yield opened
        stop.set()
        thread.join(WITHIN_S)
    assert failures == []
    assert not thread.is_alive()


@given(batch=st.lists(entries(), min_size=1, max_size=20))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.reuse, Phase.generate],  # a consumer that died once would make every smaller example fail, slowly
)
def test_each_entry_ends_as_a_row_or_a_dead_letter_and_the_next_one_is_stored(
    store: Store, client: Redis, batch: list[Fields]
) -> None:
    for fields in batch:
        wire: dict[Any, Any] = dict(fields)
        client.xadd(STREAM, wire)
    good = result(request("good"), "success", "hostname good\n")
    publish(client, STREAM, good)

    wait_until(lambda: _is_stored(store, good), WITHIN_S, or_say=lambda: f"not stored after {batch}")
    wait_until(lambda: _pending(client) == 0, WITHIN_S, or_say=lambda: f"pending after {batch}")


def _is_stored(store: Store, sent: CollectResult) -> bool:
    with store.reading() as session:
        states = [state for state in reader.device_states(session) if state.device == sent.device]
        return any(state.latest is not None and state.latest.task_id == sent.task_id for state in states)


def _pending(client: Redis) -> int:
    found: Any = client.xpending(STREAM, "devicevault")
    return int(found["pending"])
