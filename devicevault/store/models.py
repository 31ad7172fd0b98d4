"""The tables: who was asked, how each collection ended, and every distinct configuration once.

A :class:`Device` has many :class:`DeviceBackupResult` rows (one for each collection asked for) and, for each of
its artifacts, a numbered chain of :class:`DeviceRevision` rows (one for each change). A revision points to the
text in :class:`DeviceConfig`, which holds each distinct content once, whatever device it came from.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from devicevault.messages import Status


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware in Python, UTC in the database (SQLite keeps no time zone of its own)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Reason(StrEnum):
    """Why a revision was made."""

    FIRST = "first"
    CHANGED = "changed"
    #: The shown text is the same, a secret in it is not.
    SECRET = "secret"  # noqa: S105 - a word, not a secret
    #: The device did not change, the platform page that normalises its text did.
    RULES = "rules"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as it is
        str: Text(),
        datetime: UtcDateTime(),
        bytes: LargeBinary(),
        # SQLite numbers rows by itself only where the primary key is exactly INTEGER (64 bits there anyway).
        int: BigInteger().with_variant(Integer(), "sqlite"),
        list[dict[str, Any]]: JSON(),
    }


class CollectionRun(Base):
    """One wish to collect: who asked, when, for how many devices."""

    __tablename__ = "collection_runs"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    #: ``manual``, ``scheduled`` or ``inline``; ``unknown`` where only a result told of the run.
    kind: Mapped[str]
    asked_by: Mapped[str] = mapped_column(default="")
    requested_at: Mapped[datetime] = mapped_column(index=True)
    device_count: Mapped[int] = mapped_column(default=0)


class Device(Base):
    """A device that was asked for at least once, under the name and group it had last."""

    __tablename__ = "devices"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Stays the same through a rename.
    device_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(index=True)
    platform: Mapped[str] = mapped_column(default="")
    group: Mapped[str] = mapped_column(default="", index=True)
    first_seen_at: Mapped[datetime]
    #: ``type base64`` of the first session that succeeded; sent along with each request.
    host_key: Mapped[str] = mapped_column(default="")
    host_key_seen_at: Mapped[datetime | None]
    #: Rows of the newest request, whatever its status, and of the newest success. Kept here because a status page
    #: of 10,000 devices reads them; without foreign keys, which would close a circle between two tables.
    latest_result_id: Mapped[int | None]
    last_success_id: Mapped[int | None]
    #: What is shown of it when nobody asks for another artifact: the one collected first.
    main_artifact: Mapped[str] = mapped_column(default="", server_default="")
    #: Since when the inventory has it no more, as far as ``devicevault prune`` saw; and when it was archived for that.
    absent_since: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]


class DeviceBackupResult(Base):
    """How one requested collection stands: ``queued`` when asked for, then final. Exactly one for each task."""

    __tablename__ = "device_backup_results"
    __table_args__ = (
        Index(None, "device_pk", "requested_at"),
        Index(None, "run_id", "status"),
        Index(None, "status", "requested_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(unique=True)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("collection_runs.run_id"))
    task_identifier: Mapped[str] = mapped_column(default="")
    device_pk: Mapped[int] = mapped_column(ForeignKey("devices.id"))
    #: Name, platform and group as they were at the time.
    device_name: Mapped[str]
    platform: Mapped[str] = mapped_column(default="")
    group: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default=Status.QUEUED.value)
    error: Mapped[str] = mapped_column(default="")
    error_message: Mapped[str] = mapped_column(default="")
    #: ``{time, severity, message}`` for each step.
    log: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    attempt: Mapped[int] = mapped_column(default=0)
    requested_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    #: How often the device was asked for again while this task waited; each time one more message was sent.
    repeats: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime | None]
    #: When the final status was written.
    recorded_at: Mapped[datetime | None]
    collection_duration_ms: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str] = mapped_column(default="")
    worker_version: Mapped[str] = mapped_column(default="")
    rules_digest: Mapped[str] = mapped_column(default="")
    host_key: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(default="")
    model: Mapped[str] = mapped_column(default="")
    version: Mapped[str] = mapped_column(default="")
    serial: Mapped[str] = mapped_column(default="")
    #: Who changed the device last, and when, in its own words.
    author: Mapped[str] = mapped_column(default="", server_default="")
    authored_at: Mapped[str] = mapped_column(default="", server_default="")
    completeness: Mapped[str] = mapped_column(default="")
    is_binary: Mapped[bool] = mapped_column(default=False)
    #: Whether this collection made a new revision.
    changed: Mapped[bool] = mapped_column(default=False)
    #: ``{name, media_type, size, digest, original_digest, revision}`` for each artifact.
    artifacts: Mapped[list[dict[str, Any]]] = mapped_column(default=list)

    device: Mapped[Device] = relationship()


class RunAttachment(Base):
    """A run that asked for a device whose task of an earlier run still waited: it waits for that one's row."""

    __tablename__ = "run_attachments"

    run_id: Mapped[str] = mapped_column(ForeignKey("collection_runs.run_id"), primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("device_backup_results.id"), primary_key=True, index=True)


class DeviceConfig(Base):
    """One distinct normalised text, compressed, found by its digest."""

    __tablename__ = "device_configs"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: ``sha256:HEX`` of the text in UTF-8.
    digest: Mapped[str] = mapped_column(unique=True)
    #: Bytes of the text in UTF-8.
    size: Mapped[int]
    compressed: Mapped[bytes]


class DeviceRevision(Base):
    """One state of one artifact of a device, numbered from 1."""

    __tablename__ = "device_revisions"
    __table_args__ = (UniqueConstraint("device_pk", "artifact", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    device_pk: Mapped[int] = mapped_column(ForeignKey("devices.id"))
    artifact: Mapped[str]
    number: Mapped[int]
    config_id: Mapped[int] = mapped_column(ForeignKey("device_configs.id"), index=True)
    #: The collection that found it.
    result_id: Mapped[int] = mapped_column(ForeignKey("device_backup_results.id"), index=True)
    reason: Mapped[str]
    #: Lines against the revision before.
    added: Mapped[int] = mapped_column(default=0)
    removed: Mapped[int] = mapped_column(default=0)
    media_type: Mapped[str] = mapped_column(default="text/plain")
    #: When this state was first read, and when it was last.
    collected_at: Mapped[datetime]
    confirmed_at: Mapped[datetime]
    #: Keyed digest of the original and the rules it was taken with, both as last read: what the next reading
    #: is compared with.
    original_digest: Mapped[str] = mapped_column(default="")
    rules_digest: Mapped[str] = mapped_column(default="")
    #: Who made this change, and when, in the device's own words; empty where it does not tell.
    author: Mapped[str] = mapped_column(default="", server_default="")
    authored_at: Mapped[str] = mapped_column(default="", server_default="")

    config: Mapped[DeviceConfig] = relationship()


class SealedOriginal(Base):
    """The newest whole original of a revision, as the worker sealed it: what restores a device."""

    __tablename__ = "sealed_originals"

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("device_revisions.id"), unique=True)
    #: Names the public key that sealed it; ``plain`` when it is not sealed.
    key_id: Mapped[str]
    original_digest: Mapped[str] = mapped_column(default="")
    sealed: Mapped[bytes]
    collected_at: Mapped[datetime]


class HeldArtifact(Base):
    """What the newest suspect collection of a device brought home, held until it is accepted or overtaken."""

    __tablename__ = "held_artifacts"
    __table_args__ = (UniqueConstraint("result_id", "artifact"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    device_pk: Mapped[int] = mapped_column(ForeignKey("devices.id"), index=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("device_backup_results.id"))
    artifact: Mapped[str]
    config_id: Mapped[int] = mapped_column(ForeignKey("device_configs.id"), index=True)
    media_type: Mapped[str] = mapped_column(default="text/plain")
    original_digest: Mapped[str] = mapped_column(default="")
    #: The original as the worker sealed it; empty when there is none.
    key_id: Mapped[str] = mapped_column(default="")
    sealed: Mapped[bytes]
    collected_at: Mapped[datetime]

    config: Mapped[DeviceConfig] = relationship()
