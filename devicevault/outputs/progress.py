"""How far each output got, and how it stands: kept in the database, written with what it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from devicevault.store.output_models import OutputProgress, OutputState
from devicevault.store.rows import chunks, storable

MIRROR: Final = "mirror"
PUSH: Final = "push"
NOTICES: Final = "notices"

#: A device's row and one of its artifacts.
File = tuple[int, str]


@dataclass(frozen=True)
class Place:
    """The newest revision an output has of an artifact, and the file it stands in."""

    number: int
    path: str = ""


def progress_of(session: Session, output: str) -> dict[File, Place]:
    """How far an output got with each artifact."""
    row = OutputProgress
    query = select(row.device_pk, row.artifact, row.number, row.path).where(row.output == output)
    return {(pk, artifact): Place(number, path) for pk, artifact, number, path in session.execute(query)}


def note_progress(session: Session, output: str, before: Mapping[File, Place], now: Mapping[File, Place]) -> None:
    """Keep what differs between ``before`` and ``now``."""
    stale = [file for file, place in before.items() if now.get(file) != place]
    for some in chunks(sorted(stale), 1000):
        for device_pk, artifact in some:
            session.execute(
                delete(OutputProgress).where(
                    OutputProgress.output == output,
                    OutputProgress.device_pk == device_pk,
                    OutputProgress.artifact == artifact,
                )
            )
    new = ((file, place) for file, place in now.items() if before.get(file) != place)
    session.add_all(
        OutputProgress(output=output, device_pk=pk, artifact=artifact, number=place.number, path=place.path)
        for (pk, artifact), place in new
    )


def forget_progress(session: Session, output: str) -> None:
    """Let an output begin anew."""
    session.execute(delete(OutputProgress).where(OutputProgress.output == output))


def state_of(session: Session, output: str) -> OutputState:
    """How an output stands; one that never did anything stands at nothing."""
    return session.get(OutputState, output) or OutputState(name=output, head="", failures=0, error="")


def states(session: Session) -> list[OutputState]:
    """How every output stands that ever did something, by name."""
    return list(session.scalars(select(OutputState).order_by(OutputState.name)))


def note_success(session: Session, output: str, head: str | None = None) -> None:
    """It did what there was to do; ``head`` is where it is now."""
    state = session.merge(state_of(session, output))
    state.worked_at = datetime.now(UTC)
    state.failing_since, state.failures, state.error = None, 0, ""
    if head is not None:
        state.head = head


def note_failure(session: Session, output: str, error: str) -> None:
    """It could not do what there was to do."""
    state = session.merge(state_of(session, output))
    state.failing_since = state.failing_since or datetime.now(UTC)
    state.failures += 1
    state.error = storable(error)


def drop_states(session: Session, outputs: Iterable[str]) -> None:
    """Forget outputs that are switched off."""
    session.execute(delete(OutputState).where(OutputState.name.in_(list(outputs))))
