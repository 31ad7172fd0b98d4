"""Notices on their way: written with what they tell of, taken out when a receiver has them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from devicevault.outputs.notices.event import Event, Kind
from devicevault.settings import ReceiverSettings
from devicevault.settings.masking import mask_passwords
from devicevault.store.output_models import Notice, NoticeDelivery
from devicevault.store.rows import chunks, storable

logger = logging.getLogger(__name__)

#: How long a receiver that takes nothing is tried.
GIVE_UP_AFTER: Final = timedelta(days=3)
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Due:
    """What one receiver is to be sent now, oldest first."""

    receiver: str
    notice_ids: tuple[int, ...]
    #: Each as a program is given it.
    notices: tuple[dict[str, Any], ...]
    attempts: int


def hears(receiver: ReceiverSettings, event: Event) -> bool:
    """Whether a receiver wants this; what is about the whole vault is for every group's."""
    is_of_kind = not receiver.kinds or event.kind in receiver.kinds
    return is_of_kind and (not receiver.groups or not event.group or event.group in receiver.groups)


def enqueue(session: Session, events: Iterable[Event], receivers: Mapping[str, ReceiverSettings], now: datetime) -> int:
    """Write a notice for each event that somebody wants; how many there are."""
    due = {name: _due(session, name, receiver, now) for name, receiver in receivers.items()}
    count = 0
    for event in events:
        wanted = [name for name, receiver in receivers.items() if hears(receiver, event)]
        if not wanted:
            continue
        notice = Notice(kind=event.kind.value, title=_plain(event.title), data=_data(event), created_at=now)
        session.add(notice)
        session.flush()
        session.add_all(
            NoticeDelivery(notice_id=notice.id, target=name, due_at=due[name], attempts=0, error="") for name in wanted
        )
        count += 1
    return count


def _due(session: Session, name: str, receiver: ReceiverSettings, now: datetime) -> datetime:
    """When a notice written now is to be sent: a digest goes out a set time after the first notice in it."""
    if not receiver.digest_s:
        return now
    waiting = session.scalar(
        select(func.min(NoticeDelivery.due_at)).where(NoticeDelivery.target == name, NoticeDelivery.due_at > now)
    )
    return min(waiting or now + timedelta(seconds=receiver.digest_s), now + timedelta(seconds=receiver.digest_s))


def due_deliveries(session: Session, now: datetime, *, limit: int) -> list[Due]:
    """What is to be sent now, by receiver; at most ``limit`` notices each."""
    delivery = NoticeDelivery
    names = session.scalars(select(delivery.target).where(delivery.due_at <= now).distinct().order_by(delivery.target))
    found = []
    for name in list(names):
        query = (
            select(Notice, delivery.attempts)
            .join(delivery, delivery.notice_id == Notice.id)
            .where(delivery.target == name, delivery.due_at <= now)
            .order_by(Notice.id)
            .limit(limit)
        )
        rows = session.execute(query).all()
        found.append(
            Due(
                name,
                tuple(notice.id for notice, _ in rows),
                tuple(notice.data for notice, _ in rows),
                max(attempts for _, attempts in rows),
            )
        )
    return found


def next_due(session: Session) -> datetime | None:
    """When the next notice is to be sent."""
    return session.scalar(select(func.min(NoticeDelivery.due_at)))


def delivered(session: Session, receiver: str, notice_ids: Sequence[int]) -> None:
    """The receiver has these."""
    for some in chunks(notice_ids, 1000):
        session.execute(
            delete(NoticeDelivery).where(NoticeDelivery.target == receiver, NoticeDelivery.notice_id.in_(some))
        )
    _forget_done(session)


def failed(session: Session, due: Due, error: str, now: datetime) -> int:
    """The receiver did not take them: everything that is due for it waits. How many were given up."""
    delivery = NoticeDelivery
    pause = min(FIRST_PAUSE * 2 ** min(due.attempts, 10), LONGEST_PAUSE)
    rows = list(session.scalars(select(delivery).where(delivery.target == due.receiver, delivery.due_at <= now)))
    ages = dict(
        session.execute(
            select(Notice.id, Notice.created_at)
            .join(delivery, delivery.notice_id == Notice.id)
            .where(delivery.target == due.receiver, delivery.due_at <= now)
        ).all()
    )
    given_up = 0
    for row in rows:
        if now - ages[row.notice_id] > GIVE_UP_AFTER:
            session.delete(row)
            given_up += 1
            continue
        row.attempts = due.attempts + 1
        row.due_at = now + pause
        row.error = storable(mask_passwords(error))
    session.flush()
    _forget_done(session)
    return given_up


def forget_receivers(session: Session, known: Collection[str]) -> int:
    """Drop what waits for receivers that are in the settings no more; how much that was."""
    stale = NoticeDelivery.target.not_in(list(known))
    count = session.scalar(select(func.count()).select_from(NoticeDelivery).where(stale)) or 0
    if count:
        session.execute(delete(NoticeDelivery).where(stale))
        _forget_done(session)
    return count


def _forget_done(session: Session) -> None:
    """Delete the notices that every receiver has."""
    session.execute(delete(Notice).where(~exists().where(NoticeDelivery.notice_id == Notice.id)))


@dataclass(frozen=True)
class Waiting:
    """What one receiver has not taken yet."""

    receiver: str
    count: int
    due_at: datetime
    attempts: int
    error: str


def waiting(session: Session) -> list[Waiting]:
    """What each receiver has not taken yet; none for those that have everything."""
    delivery = NoticeDelivery
    query = (
        select(
            delivery.target,
            func.count(),
            func.min(delivery.due_at),
            func.max(delivery.attempts),
            func.max(delivery.error),
        )
        .group_by(delivery.target)
        .order_by(delivery.target)
    )
    return [Waiting(*row) for row in session.execute(query)]


def test_event(now: datetime) -> Event:
    """What ``devicevault notify test`` sends."""
    return Event(Kind.TEST, "a test of DeviceVault's notices", now, text="If you read this, notices reach you.")


def _plain(text: str) -> str:
    return " ".join(storable(text).split())


def _data(event: Event) -> dict[str, Any]:
    """With an id that is never given twice, which a row's number may be."""
    return {"id": uuid.uuid4().hex, **{name: _storable(value) for name, value in event.data.items()}}


def _storable(value: Any) -> Any:
    """Without what a database can't hold, however deep it stands."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    return value
