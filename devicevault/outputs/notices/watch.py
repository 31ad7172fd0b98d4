"""Looks how everything stands, and writes notices of what changed since it was told last."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from devicevault.errors import DeviceVaultError, ServiceUnavailable
from devicevault.heartbeat import heartbeats, redis_now
from devicevault.inventory import Device, Inventory
from devicevault.outputs.notices.changes import at_once, change_events
from devicevault.outputs.notices.conditions import (
    OutputFacts,
    Transitions,
    device_transitions,
    never_asked_for_transitions,
    output_transitions,
    worker_transitions,
)
from devicevault.outputs.notices.facts import DeviceFacts, WorkerFacts, device_facts, never_asked_for, worker_facts
from devicevault.outputs.notices.outbox import enqueue
from devicevault.outputs.progress import (
    NOTICES,
    File,
    Place,
    drop_states,
    forget_progress,
    note_progress,
    note_success,
    progress_of,
    state_of,
)
from devicevault.outputs.revisions import Fleet, look_at_fleet, new_revisions
from devicevault.outputs.sampler import INVENTORY_S
from devicevault.outputs.standing import outputs_in_use
from devicevault.settings import Settings
from devicevault.store import Store
from devicevault.store.output_models import Notice, NoticeCondition, NoticeDelivery
from devicevault.stream import connect_redis

logger = logging.getLogger(__name__)

#: Says in the state that what there was when notices were switched on is known.
_BEGUN = "begun"


@dataclass(frozen=True)
class _Wanted:
    """What the inventory asks for; ``None`` where it can't be used."""

    devices: Mapping[str, Device] | None = None
    groups: frozenset[str] | None = None

    @classmethod
    def of(cls, inventory: Inventory | None) -> _Wanted:
        if inventory is None:
            return cls()
        enabled = [device for device in inventory if device.enabled]
        return cls({device.device_id: device for device in enabled}, frozenset(device.group for device in enabled))


class Watch:
    """Notices by these ``settings``."""

    name = NOTICES
    every_s = 60.0
    least_pause_s = 5.0

    def __init__(
        self,
        settings: Settings,
        inventory: Callable[[Settings], Inventory | None],
        written: Callable[[], None] | None = None,
    ) -> None:
        """``inventory`` loads what is to be backed up; ``written`` is told of new notices."""
        self._inventory = inventory
        self._written = written or (lambda: None)
        self.renew(settings)

    def renew(self, settings: Settings) -> None:
        """Go by these settings, and the inventory they name, from the next turn on."""
        self._settings = settings
        self._wanted: _Wanted | None = None
        self._wanted_due_at = 0.0

    def turn(self, store: Store) -> float | None:
        """Write what is new. Raises DeviceVaultError."""
        settings = self._settings
        if not settings.receivers:
            _forget(store)
            return None
        count, has_more = self._write(store, settings, self._what_is_wanted(settings), self._workers(settings))
        if count:
            self._written()
        return 0.0 if has_more else None

    def _what_is_wanted(self, settings: Settings) -> _Wanted:
        """What the inventory asks for; where it can't be read, what it asked for before."""
        if self._wanted is None or time.monotonic() >= self._wanted_due_at:
            found: Inventory | None = None
            with suppress(DeviceVaultError):
                found = self._inventory(settings)
            if self._wanted is None or found is not None:
                self._wanted = _Wanted.of(found)
            may_change = found is None or bool(found.sources)
            self._wanted_due_at = time.monotonic() + (INVENTORY_S if may_change else math.inf)
        return self._wanted

    def _write(self, store: Store, settings: Settings, wanted: _Wanted, workers: list[WorkerFacts]) -> tuple[int, bool]:
        """How many notices were written, and whether more changes wait for their turn."""
        now = datetime.now(UTC)
        found = Transitions()
        with store.reading() as session:
            state = state_of(session, NOTICES)
            is_first = state.head != _BEGUN
            before = progress_of(session, NOTICES)
            fleet = look_at_fleet(session)
            waiting = [] if is_first else new_revisions(session, fleet, before)
            revisions = at_once(waiting)
            found.events += change_events(session, fleet, revisions, diff_lines=settings.notify.diff_lines)
            told = _told(session)
            devices = _devices(session, wanted, told, now, into=found)
            device_transitions(devices, told, settings.notify, now, wanted.devices, into=found)
            worker_transitions(workers, told, settings.notify, now, wanted.groups, into=found)
            output_transitions(_outputs(session, settings), told, now, into=found)
            had_failed = bool(state.failures)
        progress = _all_of(fleet) if is_first else before | {row.file: Place(row.number) for row in revisions}
        if progress == before and not (found.opened or found.closed or found.events or had_failed or is_first):
            return 0, False
        with store.session() as session:
            note_progress(session, NOTICES, before, progress)
            _keep(session, found, now)
            count = enqueue(session, found.events, settings.receivers, now)
            note_success(session, NOTICES, _BEGUN)
        for event in found.events:
            logger.info("notice: %s", event.title, extra={"device": event.device, "group": event.group})
        return count, len(revisions) < len(waiting)

    def _workers(self, settings: Settings) -> list[WorkerFacts]:
        """Those Redis tells of; none while it can't be asked: then nothing is told of workers either."""
        try:
            with closing(connect_redis(settings.redis_url)) as redis:
                now = redis_now(redis)
                return worker_facts((beat.groups, beat.silent_s(now)) for beat in heartbeats(redis))
        except ServiceUnavailable as error:
            logger.debug("notices: %s", error)
            return []


def _all_of(fleet: Fleet) -> dict[File, Place]:
    return {file: Place(number) for file, number in fleet.heads.items()}


def _told(session: Session) -> Mapping[tuple[str, str], datetime]:
    query = select(NoticeCondition.kind, NoticeCondition.subject, NoticeCondition.since)
    return {(kind, subject): since for kind, subject, since in session.execute(query)}


def _devices(
    session: Session, wanted: _Wanted, told: Mapping[tuple[str, str], datetime], now: datetime, into: Transitions
) -> list[DeviceFacts]:
    """Those that were ever asked for, and those that the inventory has besides."""
    found = device_facts(session)
    if wanted.devices is None:
        return found
    waiting = never_asked_for_transitions(wanted.devices, {device.device_id for device in found}, told, into)
    return found + [never_asked_for(wanted.devices[device_id], since or now) for device_id, since in waiting.items()]


def _keep(session: Session, found: Transitions, now: datetime) -> None:
    for kind, subject in found.closed:
        session.execute(delete(NoticeCondition).where(NoticeCondition.kind == kind, NoticeCondition.subject == subject))
    session.add_all(NoticeCondition(kind=str(kind), subject=subject, since=now) for kind, subject in found.opened)


def _outputs(session: Session, settings: Settings) -> list[OutputFacts]:
    # That notices themselves can't be written is nothing a notice could tell.
    states = [state_of(session, name) for name in outputs_in_use(settings) if name != NOTICES]
    return [OutputFacts(state.name, state.failures, state.error) for state in states]


def _forget(store: Store) -> None:
    """Nobody is told anything: who is told again later begins with how things stand then."""
    with store.reading() as session:
        if not state_of(session, NOTICES).head:
            return
    with store.session() as session:
        forget_progress(session, NOTICES)
        drop_states(session, [NOTICES])
        for table in (NoticeCondition, NoticeDelivery, Notice):
            session.execute(delete(table))
