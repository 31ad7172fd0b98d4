"""Whether a device's SSH host key is the expected one.

A host key is written ``type base64``, as in a ``known_hosts`` file. The vault pins what the first session saw
and sends it along with each request; a worker keeps nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final, Literal

import paramiko

from devicevault.errors import HostKeyRefused
from devicevault.host_key import described

Policy = Literal["accept-new", "strict", "off"]

#: One RSA key can sign with several algorithms.
_RSA_SIGNATURES: Final = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


def written(key: paramiko.PKey) -> str:
    """The key as ``type base64``."""
    return f"{key.get_name()} {key.get_base64()}"


def check(seen: str, pinned: Sequence[str], policy: Policy, device: str = "DEVICE", jump: str = "") -> None:
    """Raises :class:`HostKeyRefused` unless ``seen`` may be talked to.

    ``device``, or ``jump`` where the key is a jump host's, is named in what to do about it.
    """
    if policy == "off" or _plain(seen) in map(_plain, pinned):
        return
    remedy = f'[jumps.{jump}] host_key = ["{seen}"]' if jump else f"devicevault hostkeys accept {shlex.quote(device)}"
    whose = f"the host key of jump host {jump!r}" if jump else "the host key"
    if pinned:
        expected = ", ".join(described(key) for key in pinned if key.strip())
        raise HostKeyRefused(
            f"{whose} is {described(seen)}, but {expected} is expected",
            "find out whether it was replaced or someone is in between; if the new key is right: " + remedy,
            seen,
        )
    if policy == "strict":
        never = "is not in its settings" if jump else "was never seen before and ssh.host_keys is strict"
        raise HostKeyRefused(
            f"{whose}, {described(seen)}, {never}", f"compare it with the one it has; if it is right: {remedy}", seen
        )


def preferred(offered: Sequence[str], pinned: Sequence[str]) -> tuple[str, ...]:
    """``offered`` host key algorithms with those of the pinned keys first.

    Without this, a device that gains a second key after an upgrade would show that one and be refused.
    """
    types = {key.split()[0] for key in pinned if key.strip()}
    wanted = {name for kind in types for name in (_RSA_SIGNATURES if kind == "ssh-rsa" else (kind,))}
    return tuple(sorted(offered, key=lambda name: name not in wanted))


def _plain(key: str) -> tuple[str, ...]:
    # A comment may follow the key.
    return tuple(key.split()[:2])
