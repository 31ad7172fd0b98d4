"""How devices, workers and outputs stand, as far as notices are concerned."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import exists, false, func, select
from sqlalchemy.orm import Session, aliased

from devicevault.inventory import Device as InventoryDevice
from devicevault.messages import Status
from devicevault.store.models import Device, DeviceBackupResult, HeldArtifact
from devicevault.store.rows import chunks

#: Ends that count towards failing; a suspect configuration has a notice of its own.
_FAILED: Final = (Status.FAILURE.value, Status.EXPIRED.value, Status.LOST.value)
_SOME: Final = 1000


@dataclass(frozen=True)
class DeviceFacts:
    """One device."""

    device_pk: int
    device_id: str
    name: str
    group: str
    platform: str
    first_seen_at: datetime
    #: Of its newest request; ``queued`` while that is worked on.
    status: str
    error: str
    message: str
    #: When the last good configuration was read.
    last_success_at: datetime | None
    is_suspect: bool
    #: Whether its newest request succeeded.
    is_well: bool
    is_archived: bool = False
    #: Collections that failed since the last good one.
    failures: int = 0


def device_facts(session: Session) -> list[DeviceFacts]:
    """Every device that was ever asked for, archived ones too."""
    latest, success = aliased(DeviceBackupResult), aliased(DeviceBackupResult)
    query = (
        select(
            Device.id,
            Device.device_id,
            Device.name,
            Device.group,
            Device.platform,
            Device.first_seen_at,
            func.coalesce(latest.status, ""),
            func.coalesce(latest.error, ""),
            func.coalesce(latest.error_message, ""),
            func.coalesce(success.started_at, success.requested_at),
            exists().where(HeldArtifact.device_pk == Device.id),
            func.coalesce(Device.latest_result_id == Device.last_success_id, false()),
            Device.archived_at.is_not(None),
        )
        .outerjoin(latest, latest.id == Device.latest_result_id)
        .outerjoin(success, success.id == Device.last_success_id)
        .order_by(Device.id)
    )
    rows: Iterable[Any] = session.execute(query)
    found = [DeviceFacts(*row) for row in rows]
    failures = _failures(session, [device.device_pk for device in found if not device.is_well])
    return [replace(device, failures=failures.get(device.device_pk, 0)) for device in found]


def _failures(session: Session, device_pks: Iterable[int]) -> dict[int, int]:
    """How often each device failed since its last success; only asked of those whose newest result is none."""
    result, success = DeviceBackupResult, aliased(DeviceBackupResult)
    found: dict[int, int] = {}
    for some in chunks(list(device_pks), _SOME):
        query = (
            select(result.device_pk, func.count())
            .join(Device, Device.id == result.device_pk)
            .outerjoin(success, success.id == Device.last_success_id)
            .where(
                result.device_pk.in_(some),
                result.status.in_(_FAILED),
                success.id.is_(None) | (result.requested_at > success.requested_at),
            )
            .group_by(result.device_pk)
        )
        found.update(session.execute(query).all())
    return found


def never_asked_for(device: InventoryDevice, known_since: datetime) -> DeviceFacts:
    """A device of the inventory that nobody asked for yet; ``known_since`` is when it was first seen there."""
    return DeviceFacts(
        device_pk=0,
        device_id=device.device_id,
        name=device.name,
        group=device.group,
        platform=device.platform,
        first_seen_at=known_since,
        status="",
        error="",
        message="",
        last_success_at=None,
        is_suspect=False,
        is_well=False,
    )


@dataclass(frozen=True)
class WorkerFacts:
    """The workers of one collector group."""

    group: str
    #: Seconds since any of them was heard of.
    silent_s: float


def worker_facts(beats: Iterable[tuple[Collection[str], float]]) -> list[WorkerFacts]:
    """Each group's, from every worker's groups and the seconds it is silent for."""
    silent: dict[str, float] = {}
    for groups, silent_s in beats:
        for group in groups:
            silent[group] = min(silent_s, silent.get(group, silent_s))
    return [WorkerFacts(group, silent_s) for group, silent_s in sorted(silent.items())]
