"""The credentials one collection may use: each checked against what it is bound to, and against refused logins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from devicevault.collector.logins import Logins
from devicevault.collector.steps import Steps
from devicevault.credentials import Credential, CredentialStore
from devicevault.errors import AuthenticationFailed


@dataclass(frozen=True)
class Keyring:
    """The worker's credentials as one collection sees them."""

    store: CredentialStore
    logins: Logins
    steps: Steps
    group: str
    max_refused_logins: int

    def get(self, name: str, address: str, *, telnet: bool = False) -> Credential:
        """The credential for a session to ``address``; its secrets are masked in the steps from now on.

        Raises :class:`~devicevault.errors.CredentialUnusable`.
        """
        credential = self.store.resolve(name, address=address, group=self.group, telnet=telnet)
        self.steps.hide(credential.typed)
        self.logins.check(credential, self.group, self.max_refused_logins)
        return credential

    @contextmanager
    def offered(self, credential: Credential | None) -> Iterator[None]:
        """Around a login: counts whether the credential was taken. ``None`` where none is needed."""
        try:
            yield
        except AuthenticationFailed:
            if credential:
                self.logins.refused(credential, self.group, self.max_refused_logins)
            raise
        if credential:
            self.logins.accepted(credential, self.group)
