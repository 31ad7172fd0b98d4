"""The keys of an SSH agent, which signs with them and never shows them."""

from __future__ import annotations

import socket
from typing import Final

import paramiko
from paramiko.agent import AgentSSH

from devicevault.credentials import Credential
from devicevault.errors import CredentialUnusable

#: A server counts each key it is offered, and closes the connection after six.
KEYS_MAX: Final = 5
ANSWER_S: Final = 10.0


class Agent(AgentSSH):  # type: ignore[misc]  # paramiko is untyped
    """An SSH agent, opened for one login with a credential that is in it."""

    def __init__(self, credential: Credential) -> None:
        """Raises :class:`CredentialUnusable` when the agent does not answer or lacks the key."""
        super().__init__()
        where = f"the SSH agent of credential {credential.name!r} ({credential.agent})"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(ANSWER_S)
        try:
            sock.connect(credential.agent)
            self._connect(sock)
        except (OSError, paramiko.SSHException) as error:
            sock.close()
            raise CredentialUnusable(
                f"{where} does not answer: {getattr(error, 'strerror', None) or error}",
                "see that it runs and that the worker's user may open its socket",
            ) from None
        self._wanted = [key for key in super().get_keys() if _is_wanted(key, credential.key)]
        if not self._wanted or len(self._wanted) > KEYS_MAX:
            self.close()
            has = "does not hold the key" if not self._wanted else f"holds more than {KEYS_MAX} keys"
            raise CredentialUnusable(f"{where} {has}", "add the key there (ssh-add), and name it: key = its public key")

    def get_keys(self) -> tuple[paramiko.PKey, ...]:
        """The keys to offer, in the agent's order."""
        return tuple(self._wanted)

    def close(self) -> None:
        """Closes the connection to the agent."""
        self._close()


def _is_wanted(key: paramiko.PKey, public: str) -> bool:
    return not public or public.split()[1] == key.get_base64()
