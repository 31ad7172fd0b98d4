"""New revisions, as notices with their differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from devicevault.outputs.notices.event import Event, Kind
from devicevault.outputs.revisions import Fleet, NewRevision
from devicevault.store.difference import unified_diff
from devicevault.store.models import DeviceRevision, Reason
from devicevault.store.texts import text_of

#: Characters of one line that are told.
LINE_MAX: Final = 300
#: Changes told in one transaction; each costs two texts and their difference.
CHANGES_AT_ONCE: Final = 200


def is_told(revision: NewRevision) -> bool:
    """A first backup changes nothing, and of new rules the device knows nothing."""
    return revision.reason in (Reason.CHANGED, Reason.SECRET)


def at_once(revisions: Sequence[NewRevision]) -> Sequence[NewRevision]:
    """As many of them, from the first, as are dealt with in one transaction."""
    told = [index for index, revision in enumerate(revisions) if is_told(revision)]
    return revisions if len(told) <= CHANGES_AT_ONCE else revisions[: told[CHANGES_AT_ONCE]]


def change_events(
    session: Session, fleet: Fleet, revisions: Iterable[NewRevision], *, diff_lines: int
) -> Iterator[Event]:
    """A notice for each revision that is a change of its device."""
    for revision in filter(is_told, revisions):
        yield _event(session, fleet, revision, diff_lines)


def _event(session: Session, fleet: Fleet, revision: NewRevision, diff_lines: int) -> Event:
    names = fleet.names[revision.device_pk]
    is_main = revision.artifact == fleet.main_artifacts.get(revision.device_pk)
    what = names.name if is_main else f"{names.name} ({revision.artifact})"
    details: dict[str, Any] = {
        "device_id": names.device_id,
        "artifact": revision.artifact,
        "revision": revision.number,
        "reason": revision.reason,
        "added": revision.added,
        "removed": revision.removed,
        "author": revision.author,
        "run_id": revision.run_id,
        "diff": "",
        "diff_is_cut": False,
    }
    by = f" by {revision.author}" if revision.author else ""
    if revision.reason == Reason.SECRET:
        title, text = f"{what}: a hidden secret changed{by}", "every line shown is the same; a secret in it is not"
    else:
        title = f"{what} changed{by}: +{revision.added} -{revision.removed}"
        lines = list(islice(_difference(session, revision), diff_lines + 1))
        details["diff"] = text = "\n".join(lines[:diff_lines])
        details["diff_is_cut"] = len(lines) > diff_lines
        if details["diff_is_cut"]:
            text += f"\nand more; see: devicevault diff {names.name}"
    return Event(Kind.CHANGED, title, revision.collected_at, names.group, names.name, text, details)


def _difference(session: Session, revision: NewRevision) -> Iterator[str]:
    row = DeviceRevision
    query = (
        select(row)
        .where(row.device_pk == revision.device_pk, row.artifact == revision.artifact, row.number <= revision.number)
        .order_by(row.number.desc())
        .limit(2)
        .options(joinedload(row.config))
    )
    found = list(session.scalars(query))
    if len(found) < 2 or found[0].number != revision.number:
        return  # pruned meanwhile
    new, old = found
    for line in unified_diff(
        text_of(old.config), text_of(new.config), f"revision {old.number}", f"revision {new.number}"
    ):
        yield line if len(line) <= LINE_MAX else line[:LINE_MAX] + "…"
