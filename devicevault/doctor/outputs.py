"""What is derived from the store: the git mirror, its push, and the notices."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Final

from devicevault.doctor.finding import Finding
from devicevault.errors import DeviceVaultError
from devicevault.outputs.notices.outbox import waiting
from devicevault.outputs.progress import MIRROR, state_of
from devicevault.outputs.standing import outputs_in_use
from devicevault.settings import Settings
from devicevault.store import open_store

_CHECKS: Final = {"mirror": "git mirror", "push": "git push", "notices": "notices"}


def look(settings: Settings) -> Iterator[Finding]:
    """Whether what is switched on works; nothing is told of what is not."""
    names = outputs_in_use(settings)
    if MIRROR in names and shutil.which("git") is None:
        yield Finding.fault(_CHECKS[MIRROR], "git is not installed", "apt install git, or set mirror.enabled = false")
    if not names:
        return
    try:
        with open_store(settings.database_url) as store, store.reading() as session:
            states = [state_of(session, name) for name in names]
            held = [one for one in waiting(session) if one.attempts]
    except DeviceVaultError:
        return  # told already by who looked at the database
    for state in states:
        check = _CHECKS[state.name]
        if state.failures:
            yield Finding.warning(check, f"failed {state.failures} times in a row: {state.error}", _fix(state.name))
        elif not state.head:
            yield Finding.warning(check, "it has not begun", "start or reload the consumer")
        else:
            yield Finding.ok(check, "up to date at its last look")
    for one in held:
        text = f"{one.receiver} did not take {one.count} notices: {one.error}"
        yield Finding.warning(_CHECKS["notices"], text, f"see: devicevault notify test {one.receiver}")


def _fix(name: str) -> str:
    if name == "push":
        return "try it as the consumer's user: devicevault git push"
    return "it is tried again; see: journalctl -u devicevault-consumer"
