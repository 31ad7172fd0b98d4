"""Push the mirror to a remote, with a time limit; nothing that somebody else put there is overwritten."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from threading import Event
from typing import Final

from devicevault.errors import ServiceUnavailable
from devicevault.outputs.mirror.repository import Repository, last_line
from devicevault.outputs.process import Finished, run
from devicevault.outputs.progress import MIRROR, PUSH, note_success, state_of
from devicevault.settings import MirrorSettings, mask_passwords
from devicevault.store import Store

logger = logging.getLogger(__name__)

#: What git says of whatever SSH could not do.
_GENERAL: Final = "fatal: Could not read from remote repository"
_SHA: Final = re.compile(r"[0-9a-f]{40,64}")


class Push:
    """Keeps the remote that ``settings`` name up to the mirror."""

    name = PUSH
    every_s = 60.0
    least_pause_s = 5.0

    def __init__(self, settings: MirrorSettings, stop: Event | None = None) -> None:
        self.settings = settings
        self._stop = stop

    def turn(self, store: Store) -> float | None:
        """Push what the remote has not. Raises DeviceVaultError."""
        if not (self.settings.enabled and self.settings.remote):
            return None
        with store.reading() as session:
            head, pushed = state_of(session, MIRROR).head, state_of(session, PUSH).head
            had_failed = bool(state_of(session, PUSH).failures)
        if not head or (head == pushed and not had_failed):
            return None
        self.push(head, pushed)
        with store.session() as session:
            note_success(session, PUSH, head)
        logger.info("mirror: pushed to %s", mask_passwords(self.settings.remote))
        return None

    def push(self, head: str, pushed: str, *, force: bool = False) -> None:
        """Let the remote's branch be ``head``.

        It may be replaced where it is what was pushed before (``pushed``), which a mirror made anew does not stand
        upon; with ``force`` whatever it is. Raises :class:`ServiceUnavailable`.
        """
        ref = f"refs/heads/{self.settings.branch}"
        there = self._there(ref)
        if there == head:
            return
        lease = f"--force-with-lease={ref}:{there}"
        repository = Repository(self.settings.path, self.settings.branch, self._stop)
        stands_upon = bool(there) and repository.has(there) and repository.is_before(there, head)
        if there and not (stands_upon or there == pushed or force):
            raise ServiceUnavailable(
                f"{self._place} has commits on {self.settings.branch} that are not the mirror's",
                "empty that branch or name another one in mirror.branch; `devicevault git push --force` overwrites it",
            )
        self._must(self._git("push", "--quiet", lease, self.settings.remote, f"{head}:{ref}"), "push to")

    def _there(self, ref: str) -> str:
        """The commit the remote's branch is at; empty where it has no such branch."""
        done = self._git("ls-remote", "--quiet", self.settings.remote, ref)
        self._must(done, "reach")
        found = _SHA.match(done.output)
        return found.group() if found else ""

    @property
    def _place(self) -> str:
        return mask_passwords(self.settings.remote)

    def _must(self, done: Finished, verb: str) -> None:
        if done.code:
            reason = mask_passwords(_reason(done.errors)) or f"exit code {done.code}"
            raise ServiceUnavailable(
                f"git can't {verb} {self._place}: {reason}", "try it as the consumer's user: devicevault git push"
            )

    def _git(self, *arguments: str) -> Finished:
        # The user's own git and SSH settings count here: they hold keys, proxies and credential helpers.
        environ = {
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "GIT_DIR": str(self.settings.path),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "SSH_ASKPASS": "/bin/false",
            "HOME": os.environ.get("HOME") or str(Path.home()),
        }
        try:
            return run(["git", *arguments], timeout_s=self.settings.push_timeout_s, environ=environ, stop=self._stop)
        except FileNotFoundError:
            raise ServiceUnavailable("git is not installed", "apt install git, or set mirror.enabled = false") from None


def _reason(errors: str) -> str:
    """What git complains of; its advice and its general words are left out, and SSH's own are told instead of them."""
    lines = [line for line in errors.splitlines() if line.strip() and not line.startswith("hint:")]
    general = next((index for index, line in enumerate(lines) if line.startswith(_GENERAL)), 0)
    if general:
        return lines[general - 1].strip()
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:")) or "denied" in line]
    return (told or [last_line(errors)])[0].strip()
