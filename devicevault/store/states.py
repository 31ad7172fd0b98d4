"""Which revision of each artifact of many devices counts, now or at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from devicevault.store.models import Device, DeviceConfig, DeviceRevision


@dataclass(frozen=True)
class Chosen:
    """Of which devices: all of them, or those of these names, groups and platforms."""

    devices: Collection[str] = ()
    groups: Collection[str] = ()
    platforms: Collection[str] = ()
    #: Also those that were archived.
    archived: bool = False


@dataclass(frozen=True)
class State:
    """A revision of an artifact, without its text."""

    revision_id: int
    config_id: int
    device: str
    device_id: str
    group: str
    platform: str
    artifact: str
    #: Whether this is what is shown of the device when nobody asks for another artifact.
    is_main: bool
    media_type: str
    number: int
    reason: str
    size: int
    digest: str
    collected_at: datetime


def states(
    session: Session,
    chosen: Chosen,
    *,
    at: datetime | None = None,
    every_revision: bool = False,
    since: datetime | None = None,
) -> list[State]:
    """The newest revision of each artifact, or the one that was the newest ``at`` a time; or every one up to then.

    ``since`` leaves those out that were found at that time or before it.

    Sorted by device and artifact, the main one first, then from old to new.
    """
    query = (
        select(
            DeviceRevision.id,
            DeviceRevision.config_id,
            Device.name,
            Device.device_id,
            Device.group,
            Device.platform,
            DeviceRevision.artifact,
            DeviceRevision.artifact == Device.main_artifact,
            DeviceRevision.media_type,
            DeviceRevision.number,
            DeviceRevision.reason,
            DeviceConfig.size,
            DeviceConfig.digest,
            DeviceRevision.collected_at,
        )
        .join(Device, Device.id == DeviceRevision.device_pk)
        .join(DeviceConfig, DeviceConfig.id == DeviceRevision.config_id)
    )
    if at is not None:
        query = query.where(DeviceRevision.collected_at <= at)
    if since is not None:
        query = query.where(DeviceRevision.collected_at > since)
    if not every_revision:
        query = query.where(DeviceRevision.id.in_(_newest(at)))
    return sorted((State(*row) for row in session.execute(_narrowed(query, chosen))), key=_in_order)


def _in_order(state: State) -> tuple[object, ...]:
    return (state.device, state.device_id, not state.is_main, state.artifact, state.number)


def _newest(at: datetime | None) -> Select[int]:
    numbers = select(
        DeviceRevision.device_pk, DeviceRevision.artifact, func.max(DeviceRevision.number).label("number")
    ).group_by(DeviceRevision.device_pk, DeviceRevision.artifact)
    if at is not None:
        numbers = numbers.where(DeviceRevision.collected_at <= at)
    newest = numbers.subquery()
    return select(DeviceRevision.id).join(
        newest,
        (newest.c.device_pk == DeviceRevision.device_pk)
        & (newest.c.artifact == DeviceRevision.artifact)
        & (newest.c.number == DeviceRevision.number),
    )


def _narrowed(query: Select, chosen: Chosen) -> Select:  # type: ignore[type-arg]
    if chosen.devices:
        query = query.where(Device.name.in_(chosen.devices) | Device.device_id.in_(chosen.devices))
    if chosen.groups:
        query = query.where(Device.group.in_(chosen.groups))
    if chosen.platforms:
        query = query.where(Device.platform.in_(chosen.platforms))
    if not chosen.archived:
        query = query.where(Device.archived_at.is_(None))
    return query
