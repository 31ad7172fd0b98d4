"""What opens a session."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential with its secrets read. Its ``repr`` shows none of them."""

    name: str
    username: str
    password: str = field(default="", repr=False)
    #: The enable secret, or empty.
    enable: str = field(default="", repr=False)
    #: A private key in PEM or OpenSSH form, or empty; with an agent, the public key of the one to use.
    key: str = field(default="", repr=False)
    #: Opens ``key``, or empty.
    passphrase: str = field(default="", repr=False)
    #: Path of the SSH agent's socket, or empty for none.
    agent: str = ""

    @property
    def typed(self) -> tuple[str, str, str]:
        """What may be sent to a device as it is, for masking it in what is told of the session."""
        return self.password, self.enable, self.passphrase

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret there is, for masking them in a transcript."""
        return tuple(secret for secret in (self.password, self.enable, self.key, self.passphrase) if secret)
