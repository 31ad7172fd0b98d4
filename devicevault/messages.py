"""Exactly what travels: the request for one collection and its result.

Both bear a version ``v``. Readers ignore unknown fields and keep unknown values of ``status`` and
``error`` as they came; an unknown major version is refused with :class:`MalformedMessage`.
Neither message ever holds a secret: credentials travel by name, originals travel sealed.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from devicevault import names
from devicevault.compression import CompressionError, compress, decompress
from devicevault.errors import MalformedMessage

LOG_MAX_LINES: Final = 200
LOG_MAX_CHARACTERS: Final = 500


class Status(StrEnum):
    """How a collection stands. ``queued`` is a row's first state and never travels in a result."""

    QUEUED = "queued"
    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    LOST = "lost"
    SUSPECT = "suspect"


#: Ends that left the device without a new good backup. Not ``skipped``: another task has the device in hand.
FAILED: Final = frozenset({Status.FAILURE, Status.EXPIRED, Status.LOST, Status.SUSPECT})


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def _known_version(v: int) -> int:
    if v != names.MESSAGE_VERSION:
        raise ValueError(f"message version {v} is unknown to this release, which reads {names.MESSAGE_VERSION}")
    return v


Version = Annotated[int, AfterValidator(_known_version)]


class CollectRequest(Message):
    """One collection asked for: who, where, how, and until when it is worth doing."""

    v: Version = names.MESSAGE_VERSION
    task_id: str = Field(min_length=1)
    #: 0 in a task's first message. Each time the device is asked for again while the task waits, one more message
    #: goes out, with the next number; the first to be worked on does the task, the others find it done.
    repeat: int = Field(default=0, ge=0)
    run_id: str = ""
    #: ``scheduled:…`` or ``manual:…``
    task_identifier: str = ""
    #: Stays the same through a rename of the device.
    device_id: str = Field(min_length=1)
    device: str = Field(min_length=1)
    #: An IPv4 or IPv6 address, or a host name.
    address: str = ""
    port: int = Field(default=22, ge=1, le=65535)
    platform: str
    group: str = names.DEFAULT_GROUP
    #: Names of credentials in the worker's own file, tried in this order.
    credentials: tuple[str, ...] = ()
    #: Host keys the vault has pinned, as ``type base64``; empty when none was seen yet.
    host_keys: tuple[str, ...] = ()
    #: Names of the jumps to go through, in order; the worker knows each. ``None`` leaves it to the group's settings.
    jump: tuple[str, ...] | None = None
    #: ``ssh`` or ``telnet``.
    transport: str = "ssh"
    #: Name of the credential for the console server in front of the device; empty where there is none.
    console: str = ""
    #: What a console server wants behind the login name to know the line, such as ``:port7``.
    console_line: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(default=names.PRIORITY_PERSON, ge=0, le=names.QUEUE_MAX_PRIORITY)
    requested_at: AwareDatetime
    #: Not worth starting after this time; it is about the wait in the queue, not the session.
    expires_at: AwareDatetime | None = None
    #: Seconds the session may take, from the first TCP packet to the last line.
    deadline_s: float = Field(default=120.0, gt=0)

    @classmethod
    def from_wire(cls, data: object) -> CollectRequest:
        """The request in a task's argument. Raises :class:`MalformedMessage`."""
        return validated(cls, data)

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready data for the task's argument."""
        return self.model_dump(mode="json")

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now > self.expires_at


class LogLine(Message):
    """One step of a collection, in words an operator understands."""

    time: AwareDatetime
    #: ``info``, ``warning`` or ``error``
    severity: str = "info"
    message: str


class CollectFacts(Message):
    """What the device says of itself; empty where its platform page does not ask."""

    model: str = ""
    version: str = ""
    serial: str = ""
    #: Who changed its configuration last, and when, in the device's own words.
    author: str = ""
    authored_at: str = ""


def digest_of(raw: bytes) -> str:
    """``sha256:HEX`` of a normalised text in UTF-8: an artifact's ``digest``."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


class Artifact(Message):
    """One text or file of a device: its running configuration, startup configuration, a virtual domain…"""

    name: str = "running"
    media_type: str = "text/plain"
    #: Bytes of the normalised text in UTF-8.
    size: int = Field(ge=0)
    #: ``sha256:HEX`` of the normalised text.
    digest: str
    #: Keyed digest of the original without volatile lines and newly salted secrets; empty without ``vault.digest``.
    original_digest: str = ""
    #: Whether the original holds secrets that are salted anew at each reading, which no digest can tell apart.
    is_salted: bool = False
    #: The normalised text (volatile lines removed, secrets redacted) in UTF-8, compressed: so it is stored, and so it
    #: waits until then, in a tenth of the memory.
    compressed: bytes = Field(repr=False)
    #: The original, compressed, then sealed by the worker; compressed only when ``key_id`` is ``plain``.
    original: bytes = Field(default=b"", repr=False)
    #: Names the public key that sealed ``original``; ``plain`` when it is not sealed; empty when there is none.
    key_id: str = ""

    @classmethod
    def of(cls, text: str, **known: Any) -> Artifact:
        """The artifact of a normalised text, with its other fields as they are given."""
        raw = text.encode()
        return cls(size=len(raw), digest=digest_of(raw), compressed=compress(raw), **known)

    @property
    def text(self) -> str:
        """The normalised text, made and proven at each call.

        Raises :class:`MalformedMessage` where ``compressed`` is not the text that size and digest tell of.
        """
        try:
            raw = decompress(self.compressed, self.size)
            text = raw.decode()
        except CompressionError as error:
            raise MalformedMessage(f"the text of artifact {self.name!r} {error}") from None
        except UnicodeDecodeError:
            raise MalformedMessage(f"the text of artifact {self.name!r} is not UTF-8") from None
        if len(raw) != self.size:
            raise MalformedMessage(
                f"the text of artifact {self.name!r} has not the {self.size} bytes it is told to have"
            )
        if digest_of(raw) != self.digest:
            raise MalformedMessage(f"the text of artifact {self.name!r} is another than its digest tells of")
        return text


class CollectResult(Message):
    """How one collection ended. Each request ends in exactly one row; duplicates are absorbed by ``task_id``."""

    v: Version = names.MESSAGE_VERSION
    task_id: str = Field(min_length=1)
    run_id: str = ""
    task_identifier: str = ""
    device_id: str = Field(min_length=1)
    device: str = Field(min_length=1)
    platform: str = ""
    group: str = names.DEFAULT_GROUP
    #: A :class:`Status` value; one this release does not know is kept as it came.
    status: str
    #: The code of a :class:`devicevault.errors.CollectionError`, or empty.
    error: str = ""
    #: The sentence that goes with ``error``: what happened and what to do.
    error_message: str = ""
    log: tuple[LogLine, ...] = ()
    attempt: int = Field(default=1, ge=0)
    initiated_at: AwareDatetime
    started_at: AwareDatetime | None = None
    collection_duration_ms: int = Field(default=0, ge=0)
    worker: str = ""
    worker_version: str = ""
    #: Digest of the platform page that normalised the text.
    rules_digest: str = ""
    #: The host key seen, as ``type base64``.
    host_key: str = ""
    #: The address used.
    address: str = ""
    facts: CollectFacts = CollectFacts()
    #: What proved the configuration whole, such as ``ends with 'end'``.
    completeness: str = ""
    is_binary: bool = False
    artifacts: tuple[Artifact, ...] = ()

    @property
    def device_config(self) -> str:
        """The first artifact's normalised text, or an empty string."""
        return self.artifacts[0].text if self.artifacts else ""


M = TypeVar("M", bound=Message)


def validated(kind: type[M], data: object) -> M:
    """``data`` as a message of this kind. Raises :class:`MalformedMessage` naming the first wrong field."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "message"
        raise MalformedMessage(f"{kind.__name__}: {field}: {first['msg']}") from None
