"""How the outputs stand that are switched on, as metrics and notices tell it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from devicevault.outputs.notices.outbox import waiting
from devicevault.outputs.progress import MIRROR, NOTICES, PUSH, state_of
from devicevault.settings import Settings


def outputs_in_use(settings: Settings) -> list[str]:
    """Their names."""
    mirror = settings.mirror
    known = {
        MIRROR: mirror.enabled,
        PUSH: mirror.enabled and bool(mirror.remote),
        NOTICES: bool(settings.receivers),
    }
    return [name for name, is_on in known.items() if is_on]


def standing_of_outputs(session: Session, settings: Settings) -> dict[str, dict[tuple[str, ...], float]]:
    """The metrics of the outputs."""
    held = {one.receiver: one.count for one in waiting(session)}
    return {
        "devicevault_output_failures": {
            (name,): float(state_of(session, name).failures) for name in outputs_in_use(settings)
        },
        "devicevault_notices_waiting": {(name,): float(held.get(name, 0)) for name in settings.receivers},
    }
