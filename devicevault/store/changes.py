"""What changed on many devices since a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from devicevault.store.models import DeviceConfig, Reason
from devicevault.store.states import Chosen, State, states
from devicevault.store.texts import text_of


@dataclass(frozen=True)
class Changed:
    """An artifact that is another one than it was."""

    #: What it was; ``None`` where it was first backed up in the meantime.
    before: State | None
    after: State
    old: str
    new: str


def changes_since(session: Session, chosen: Chosen, since: datetime) -> Iterator[Changed]:
    """The artifacts that changed after ``since``, from what they were then to what they are now.

    One that differs only by the rules its text is made with did not change.
    """
    before = {(state.device_id, state.artifact): state for state in states(session, chosen, at=since)}
    on_device = _changed_on_device(session, chosen, since)
    for after in states(session, chosen):
        key = (after.device_id, after.artifact)
        then = before.get(key)
        if key in on_device and after != then:
            yield Changed(then, after, _text(session, then.config_id) if then else "", _text(session, after.config_id))


def _changed_on_device(session: Session, chosen: Chosen, since: datetime) -> set[tuple[str, str]]:
    return {
        (state.device_id, state.artifact)
        for state in states(session, chosen, every_revision=True, since=since)
        if state.reason != Reason.RULES
    }


def _text(session: Session, config_id: int) -> str:
    return text_of(session.scalars(select(DeviceConfig).where(DeviceConfig.id == config_id)).one())
