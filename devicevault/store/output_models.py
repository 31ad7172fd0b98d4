"""The tables of the outputs: how far each one got, what is told of it, and notices on their way.

Nothing of what was collected stands here. Emptied, these tables are filled anew from the others.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from devicevault.store.models import Base


class OutputState(Base):
    """How an output stands: the git mirror, its push, or the notices."""

    __tablename__ = "output_states"

    name: Mapped[str] = mapped_column(primary_key=True)
    #: Where it is: the newest commit of the mirror, or the one the remote has.
    head: Mapped[str] = mapped_column(default="")
    #: When it last did all there was to do.
    worked_at: Mapped[datetime | None]
    #: Since when it fails, how often in a row, and why; unset, 0 and empty when it does not.
    failing_since: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")


class OutputProgress(Base):
    """The newest revision of an artifact that an output has dealt with.

    Kept for each artifact and not as one number for all: transactions end in another order than they begin, and a
    single number would pass over the revision that is committed late. ``device_pk`` is no foreign key: what is left of
    a device whose row was deleted is how an output learns that it is gone.
    """

    __tablename__ = "output_progress"

    output: Mapped[str] = mapped_column(primary_key=True)
    device_pk: Mapped[int] = mapped_column(primary_key=True)
    artifact: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    #: Its file in the mirror.
    path: Mapped[str] = mapped_column(default="")


class NoticeCondition(Base):
    """Something that is not as it should be and was told: told again only after it was right in between."""

    __tablename__ = "notice_conditions"

    kind: Mapped[str] = mapped_column(primary_key=True)
    #: A ``device_id``, a collector group, or an output's name.
    subject: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class Notice(Base):
    """One notice, until every target has it."""

    __tablename__ = "notices"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    title: Mapped[str]
    #: Everything about it, as a program is given it.
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]


class NoticeDelivery(Base):
    """A notice one target has not taken yet."""

    __tablename__ = "notice_deliveries"

    notice_id: Mapped[int] = mapped_column(ForeignKey("notices.id"), primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
