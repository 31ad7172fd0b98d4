"""The devices there are, and which revisions an output has not dealt with yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from devicevault.outputs.progress import File, Place
from devicevault.store.models import Device, DeviceBackupResult, DeviceRevision
from devicevault.store.rows import chunks


@dataclass(frozen=True)
class Names:
    """What a device is called."""

    device_id: str
    group: str
    name: str
    is_archived: bool = False


class NewRevision(NamedTuple):
    """A revision an output has not dealt with."""

    id: int
    device_pk: int
    artifact: str
    number: int
    config_id: int
    reason: str
    added: int
    removed: int
    media_type: str
    collected_at: datetime
    #: Who changed the device, where it tells.
    author: str
    run_id: str
    result_id: int
    recorded_at: datetime | None
    #: As they were when it was collected.
    group: str
    device_name: str

    @property
    def file(self) -> File:
        return self.device_pk, self.artifact


@dataclass(frozen=True)
class Fleet:
    """Every device, and what was ever collected of it."""

    names: dict[int, Names]
    #: The artifact collected first, of each device.
    main_artifacts: dict[int, str]
    #: The newest revision's number of each artifact.
    heads: dict[File, int]


#: Devices asked for in one statement.
_SOME: Final = 1000


def look_at_fleet(session: Session) -> Fleet:
    """What there is, without any text."""
    devices = session.execute(
        select(
            Device.id,
            Device.device_id,
            Device.group,
            Device.name,
            Device.archived_at.is_not(None),
            Device.main_artifact,
        )
    ).all()
    names = {pk: Names(device_id, group, name, archived) for pk, device_id, group, name, archived, _ in devices}
    revision = DeviceRevision
    query = select(revision.device_pk, revision.artifact, func.max(revision.number)).group_by(
        revision.device_pk, revision.artifact
    )
    heads = {(pk, artifact): number for pk, artifact, number in session.execute(query)}
    return Fleet(names, {row[0]: row[-1] for row in devices}, heads)


def new_revisions(session: Session, fleet: Fleet, progress: Mapping[File, Place]) -> list[NewRevision]:
    """Every revision beyond ``progress``, oldest first."""
    known = {file: place.number for file, place in progress.items()}
    behind = sorted({pk for (pk, artifact), number in fleet.heads.items() if number > known.get((pk, artifact), 0)})
    revision, result = DeviceRevision, DeviceBackupResult
    query = select(
        revision.id,
        revision.device_pk,
        revision.artifact,
        revision.number,
        revision.config_id,
        revision.reason,
        revision.added,
        revision.removed,
        revision.media_type,
        revision.collected_at,
        revision.author,
        func.coalesce(result.run_id, ""),
        result.id,
        result.recorded_at,
        result.group,
        result.device_name,
    ).join(result, result.id == revision.result_id)
    found: list[NewRevision] = []
    for some in chunks(behind, _SOME):
        rows = session.execute(query.where(revision.device_pk.in_(some)))
        found += (row for row in map(NewRevision._make, rows) if row.number > known.get(row.file, 0))
    return sorted(found, key=lambda row: row.id)
