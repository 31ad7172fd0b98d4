"""The declaration of ``[jumps.NAME]``."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from devicevault import names
from devicevault.settings.table import Table

#: ``type base64``, as in a ``known_hosts`` file; a comment may follow.
_PUBLIC_KEY: Final = re.compile(r"(?:ssh|ecdsa|sk)-[\w@.-]+ AAAA[\w+/]+={0,2}(?: .*)?")


def _jump_name(value: str) -> str:
    if not names.is_group_name(value):
        raise ValueError("is not a jump's name; use small letters and digits, single - or _ between them")
    return value


def _public_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    for key in keys:
        if not _PUBLIC_KEY.fullmatch(key):
            raise ValueError("is no list of host keys; write each as `ssh-keyscan` does, without the address before it")
    return keys


JumpName = Annotated[str, AfterValidator(_jump_name)]
PublicKeys = Annotated[tuple[str, ...], AfterValidator(_public_keys)]


class JumpSettings(Table):
    """A jump host or proxy on the way to devices."""

    kind: Literal["ssh", "socks5", "http"] = Field(
        "ssh", description="An SSH server that forwards connections, a SOCKS5 proxy, or an HTTP proxy with CONNECT."
    )
    address: str = Field("", description="Its address or host name; needed.")
    port: int = Field(0, ge=0, le=65535, description="TCP port; 0 for the usual one: 22, 1080 or 3128.")
    credential: str = Field("", description="Credential in the worker's file; SSH needs one, a proxy may.")
    host_key: PublicKeys = Field((), description="SSH host keys, any of which will do: `ssh-ed25519 AAAA...`.")
    host_keys: Literal["strict", "off"] = Field("strict", description="`off` checks no host key.")
    algorithms: Literal["modern", "legacy"] = Field("modern", description="As ssh.algorithms, for this jump host.")
    sessions: int = Field(32, ge=1, description="Sessions through one SSH connection; more of them open another.")
    idle_s: float = Field(30, ge=0, description="Seconds an SSH connection stays open without a session.")

    @model_validator(mode="after")
    def _reachable(self) -> JumpSettings:
        if not self.address:
            raise ValueError("has no address; add address")
        if self.kind == "ssh" and not self.credential:
            raise ValueError("has no credential; add credential, the name of one in credentials.toml")
        return self

    @property
    def usual_port(self) -> int:
        """``port``, or what the kind usually listens at."""
        return self.port or {"ssh": 22, "socks5": 1080, "http": 3128}[self.kind]
