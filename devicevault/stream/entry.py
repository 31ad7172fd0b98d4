"""One result as a stream entry.

Every scalar is a field of its own, so that ``redis-cli XREVRANGE`` shows it readable. ``log``, ``facts`` and
``artifacts`` (what is known of each, without its bytes) are JSON. The first artifact's text is the field
``device_config``, the others' are ``text:1``, ``text:2``…; sealed originals are ``original:0``, ``original:1``….
A long text is compressed, which its metadata tells as ``encoding``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from devicevault import names
from devicevault.compression import compress
from devicevault.errors import MalformedMessage
from devicevault.messages import LOG_MAX_CHARACTERS, LOG_MAX_LINES, CollectResult, Status, validated

#: Bytes; a text up to this size stays readable in the stream.
PLAIN_UP_TO: Final = 8 * 1024
#: How a text travels.
ZSTD: Final = "zstd"
#: As workers of earlier releases compress it.
ZLIB: Final = "zlib"
COMPRESSED: Final = (ZSTD, ZLIB)
IDENTITY: Final = "identity"
DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024

JSON_FIELDS: Final = frozenset({"log", "facts", "artifacts"})
SCALAR_FIELDS: Final = tuple(name for name in CollectResult.model_fields if name not in JSON_FIELDS)
#: Characters of a name: PostgreSQL refuses to index a few thousand bytes, which would hold the whole stream up.
NAME_MAX_CHARACTERS: Final = 250
NAMES: Final = ("task_id", "run_id", "task_identifier", "device_id", "device", "platform", "group", "status", "error")
ERROR_MESSAGE_MAX_CHARACTERS: Final = 2000
#: What of an artifact travels as its metadata; its text and its original have fields of their own.
BULKY: Final = frozenset({"compressed", "original"})

Fields = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Entry:
    """A stream entry as it was read. ``fields`` is empty when it was trimmed while it was pending."""

    id: str
    fields: Fields

    @cached_property
    def size(self) -> int:
        """Bytes it takes in memory, nearly."""
        return sum(len(name) + len(value) for name, value in self.fields.items())

    def text(self, name: str) -> str:
        """A field as text for people, whatever is in it; empty when it is missing."""
        return self.fields.get(name.encode(), b"").decode("utf-8", errors="replace")


def encode(result: CollectResult) -> dict[str, bytes]:
    """The fields of a result's stream entry."""
    scalars = result.model_dump(mode="json", include=set(SCALAR_FIELDS))
    fields = {name: _scalar(scalars[name]) for name in SCALAR_FIELDS}
    fields["log"] = _json(result.model_dump(mode="json", include={"log"})["log"])
    fields["facts"] = _json(result.facts.model_dump(mode="json"))
    metadata: list[dict[str, Any]] = []
    for index, artifact in enumerate(result.artifacts):
        is_long = artifact.size > PLAIN_UP_TO
        fields[_text_field(index)] = artifact.compressed if is_long else artifact.text.encode()
        if artifact.original:
            fields[_original_field(index)] = artifact.original
        known = artifact.model_dump(mode="json", exclude=set(BULKY))
        metadata.append({**known, "encoding": ZSTD if is_long else IDENTITY})
    fields["artifacts"] = _json(metadata)
    return fields


def decode(entry: Entry | Fields, *, max_bytes: int = DEFAULT_MAX_BYTES) -> CollectResult:
    """The result in a stream entry.

    ``max_bytes`` bounds the texts of the entry together, once decompressed. Raises
    :class:`~devicevault.errors.MalformedMessage` when a field is missing or wrong, and for a success without an
    artifact. Whether a text is the one its digest tells of, is found out by whoever asks for it.
    """
    fields = entry.fields if isinstance(entry, Entry) else entry
    # An empty field is one that says nothing: the default stands.
    data: dict[str, Any] = {
        name: _utf8(name, fields[name.encode()]) for name in SCALAR_FIELDS if fields.get(name.encode())
    }
    data["log"] = _capped(_parsed(fields, "log", list))
    data["facts"] = _parsed(fields, "facts", dict)
    data["artifacts"] = _artifacts(fields, max_bytes)
    data["error_message"] = data.get("error_message", "")[:ERROR_MESSAGE_MAX_CHARACTERS]
    result = validated(CollectResult, data)
    _check_names(result)
    if result.status == Status.QUEUED:
        raise MalformedMessage("status 'queued' is never a result")
    if result.status == Status.SUCCESS and not result.artifacts:
        raise MalformedMessage("a success without a configuration")
    return result


def _check_names(result: CollectResult) -> None:
    given = [(name, getattr(result, name)) for name in NAMES]
    given += [(f"artifacts.{index}.name", artifact.name) for index, artifact in enumerate(result.artifacts)]
    for name, value in given:
        if len(value) > NAME_MAX_CHARACTERS:
            raise MalformedMessage(f"{name} is longer than {NAME_MAX_CHARACTERS} characters")
    for index, artifact in enumerate(result.artifacts):
        # It stands in messages: no line end, no control sequence, no half of a surrogate pair.
        if not artifact.name.isprintable():
            raise MalformedMessage(f"artifacts.{index}.name holds signs that can't be printed")


def _artifacts(fields: Fields, max_bytes: int) -> list[dict[str, Any]]:
    left = max_bytes
    artifacts: list[dict[str, Any]] = []
    for index, metadata in enumerate(_parsed(fields, "artifacts", list)):
        if not isinstance(metadata, dict):
            raise MalformedMessage(f"artifacts.{index} is not an object")
        size = metadata.get("size")
        if not isinstance(size, int) or not 0 <= size <= left:
            raise MalformedMessage(f"artifacts.{index}.size is not a number of bytes up to {left}")
        left -= size
        compressed = _compressed(fields, index, metadata, size)
        original = fields.get(_original_field(index).encode(), b"")
        artifacts.append({**metadata, "compressed": compressed, "original": original})
    names_seen = [artifact.get("name") for artifact in artifacts]
    if len(set(map(str, names_seen))) != len(names_seen):
        raise MalformedMessage("two artifacts have the same name")
    return artifacts


def _compressed(fields: Fields, index: int, metadata: Mapping[str, Any], size: int) -> bytes:
    """An artifact's text, compressed as it is stored. It is not looked at: what is kept of it is proven first."""
    name = _text_field(index)
    came = fields.get(name.encode())
    if came is None:
        raise MalformedMessage(f"field {name} is missing")
    encoding = metadata.get("encoding", IDENTITY)
    if encoding in COMPRESSED:
        return came
    if encoding != IDENTITY:
        raise MalformedMessage(f"artifacts.{index}.encoding {encoding!r} is unknown to this release")
    if len(came) != size:
        raise MalformedMessage(f"field {name} does not hold the {size} bytes its metadata tells of")
    return compress(came)


def _parsed(fields: Fields, name: str, kind: type[Any]) -> Any:
    raw = fields.get(name.encode())
    if not raw:
        return kind()
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise MalformedMessage(f"field {name} is not JSON") from None
    if not isinstance(value, kind):
        raise MalformedMessage(f"field {name} is not a JSON {'array' if kind is list else 'object'}")
    return value


def _capped(log: list[Any]) -> list[Any]:
    lines = [line for line in log[:LOG_MAX_LINES] if isinstance(line, dict)]
    return [{**line, "message": str(line.get("message", ""))[:LOG_MAX_CHARACTERS]} for line in lines]


def _utf8(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedMessage(f"field {name} is not UTF-8") from None


def _scalar(value: object) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _text_field(index: int) -> str:
    return names.FIELD_DEVICE_CONFIG if index == 0 else f"text:{index}"


def _original_field(index: int) -> str:
    return f"original:{index}"
