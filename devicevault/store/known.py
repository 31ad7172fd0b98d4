"""What the database knows of the devices and tasks of some results, as far as writing these needs it.

Plain values, read with a few questions however many results there are, changed in memory while one result after the
other is gone through, and written together by a :class:`~devicevault.store.batch.Batch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from devicevault.store.models import (
    Device,
    DeviceBackupResult,
    DeviceConfig,
    DeviceRevision,
    HeldArtifact,
    SealedOriginal,
)
from devicevault.store.rows import one_of


@dataclass(frozen=True, slots=True)
class KnownResult:
    """A collection that ended before, or one that now does."""

    id: int
    requested_at: datetime
    author: str
    authored_at: str


@dataclass(slots=True)
class KnownRow:
    """The row of a task, and what shall be written to it."""

    id: int
    task_id: str
    status: str
    requested_at: datetime
    expires_at: datetime | None
    repeats: int
    recorded_at: datetime | None
    rules_digest: str
    host_key: str
    address: str
    author: str
    authored_at: str
    #: By column; empty when the row stays as it is. All rows of a batch are given the same columns.
    values: dict[str, Any] = field(default_factory=dict)

    def write(self, **values: Any) -> None:
        """Let the row say this, here and in the database."""
        self.values |= values
        for name in values.keys() & _ROW_NAMES:
            setattr(self, name, values[name])

    def ended(self) -> KnownResult:
        return KnownResult(self.id, self.requested_at, self.author, self.authored_at)


@dataclass(frozen=True, slots=True)
class KnownOriginal:
    """The original that is kept of a revision."""

    original_digest: str
    key_id: str
    #: Only of one that is not written yet: what is sealed, and when it was read.
    sealed: bytes | None = None
    collected_at: datetime | None = None


@dataclass(slots=True)
class KnownRevision:
    """The newest good state of an artifact, without its text."""

    #: ``None`` until it is written.
    id: int | None
    device_pk: int
    artifact: str
    number: int
    digest: str
    size: int
    original_digest: str
    rules_digest: str
    confirmed_at: datetime
    original: KnownOriginal | None = None
    #: The other columns of a new one.
    new: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, str, int]:
        return self.device_pk, self.artifact, self.number


@dataclass(slots=True)
class KnownHeld:
    """A suspect artifact that is held."""

    #: ``None`` until it is written.
    id: int | None
    collected_at: datetime
    #: Of a new one the digest of its text, and the other columns.
    digest: str = ""
    new: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class KnownDevice:
    """A device, locked until the transaction ends."""

    id: int
    device_id: str
    name: str
    host_key: str
    host_key_seen_at: datetime | None
    main_artifact: str
    latest_result_id: int | None
    last_success_id: int | None
    #: The rows these two name; ``None`` also where one is not there any more.
    latest: KnownResult | None = None
    success: KnownResult | None = None
    #: By artifact.
    revisions: dict[str, KnownRevision] = field(default_factory=dict)
    held: list[KnownHeld] = field(default_factory=list)
    #: Ids of held artifacts to forget.
    released: list[int] = field(default_factory=list)
    #: Whether its row shall be written.
    is_touched: bool = False


def lock_devices(session: Session, device_ids: Iterable[str]) -> dict[str, KnownDevice]:
    """These devices with all that is known of them, by ``device_id``."""
    # The locks come first: what is read after them stays as it is.
    devices = [KnownDevice(*row) for row in _rows(session, _DEVICES, device_ids)]
    by_pk = {device.id: device for device in devices}
    ends = {end for device in devices for end in (device.latest_result_id, device.last_success_id) if end is not None}
    results = {row.id: KnownResult(*row) for row in _rows(session, _RESULTS, ends)}
    for device in devices:
        device.latest = results.get(device.latest_result_id)
        device.success = results.get(device.last_success_id)
    for row in _rows(session, _REVISIONS, by_pk):
        *values, kept_digest, kept_key_id = row
        revision = by_pk[row.device_pk].revisions[row.artifact] = KnownRevision(*values)
        if kept_key_id is not None:
            revision.original = KnownOriginal(kept_digest, kept_key_id)
    for row in _rows(session, _HELD, by_pk):
        by_pk[row.device_pk].held.append(KnownHeld(row.id, row.collected_at))
    return {device.device_id: device for device in devices}


def lock_rows(session: Session, task_ids: Iterable[str]) -> dict[str, KnownRow]:
    """The rows of these tasks, by ``task_id``, locked until the transaction ends."""
    return {row.task_id: KnownRow(*row) for row in _rows(session, _TASKS, task_ids)}


def known_row(row: DeviceBackupResult) -> KnownRow:
    """The same of a row that was read and locked otherwise."""
    return KnownRow(*(getattr(row, column.key) for column in _ROW_COLUMNS))


def _rows(session: Session, question: Select[*tuple[Any, ...]], keys: Iterable[Any]) -> Sequence[Any]:
    wanted = sorted(set(keys))
    return session.connection().execute(question, {"keys": wanted}).all() if wanted else ()


_DEVICES: Final = (
    select(
        Device.id,
        Device.device_id,
        Device.name,
        Device.host_key,
        Device.host_key_seen_at,
        Device.main_artifact,
        Device.latest_result_id,
        Device.last_success_id,
    )
    .where(one_of(Device.device_id))
    .order_by(Device.device_id)
    .with_for_update()
)
_ROW_COLUMNS: Final = (
    DeviceBackupResult.id,
    DeviceBackupResult.task_id,
    DeviceBackupResult.status,
    DeviceBackupResult.requested_at,
    DeviceBackupResult.expires_at,
    DeviceBackupResult.repeats,
    DeviceBackupResult.recorded_at,
    DeviceBackupResult.rules_digest,
    DeviceBackupResult.host_key,
    DeviceBackupResult.address,
    DeviceBackupResult.author,
    DeviceBackupResult.authored_at,
)
_ROW_NAMES: Final = frozenset(column.key for column in _ROW_COLUMNS)
_TASKS: Final = (
    select(*_ROW_COLUMNS)
    .where(one_of(DeviceBackupResult.task_id))
    .order_by(DeviceBackupResult.task_id)
    .with_for_update()
)
_RESULTS: Final = select(
    DeviceBackupResult.id,
    DeviceBackupResult.requested_at,
    DeviceBackupResult.author,
    DeviceBackupResult.authored_at,
).where(one_of(DeviceBackupResult.id))
_HELD: Final = select(HeldArtifact.id, HeldArtifact.device_pk, HeldArtifact.collected_at).where(
    one_of(HeldArtifact.device_pk)
)
_NEWEST: Final = (
    select(DeviceRevision.device_pk, DeviceRevision.artifact, func.max(DeviceRevision.number).label("number"))
    .where(one_of(DeviceRevision.device_pk))
    .group_by(DeviceRevision.device_pk, DeviceRevision.artifact)
    .subquery()
)
_REVISIONS: Final = (
    select(
        DeviceRevision.id,
        DeviceRevision.device_pk,
        DeviceRevision.artifact,
        DeviceRevision.number,
        DeviceConfig.digest,
        DeviceConfig.size,
        DeviceRevision.original_digest,
        DeviceRevision.rules_digest,
        DeviceRevision.confirmed_at,
        SealedOriginal.original_digest,
        SealedOriginal.key_id,
    )
    .join(
        _NEWEST,
        (_NEWEST.c.device_pk == DeviceRevision.device_pk)
        & (_NEWEST.c.artifact == DeviceRevision.artifact)
        & (_NEWEST.c.number == DeviceRevision.number),
    )
    .join(DeviceConfig, DeviceConfig.id == DeviceRevision.config_id)
    .outerjoin(SealedOriginal, SealedOriginal.revision_id == DeviceRevision.id)
)
