"""The jump hosts and proxies on the way to a device, as this worker's settings know them."""

from __future__ import annotations

from typing import Final

from devicevault.collector.jump_host import Hop
from devicevault.collector.tcp import Target
from devicevault.errors import UnreachableForGood
from devicevault.messages import CollectRequest
from devicevault.nearest import did_you_mean
from devicevault.settings import Settings, SshSettings

_KINDS: Final = {"ssh": "jump host", "socks5": "SOCKS proxy", "http": "HTTP proxy"}


def way_to(request: CollectRequest, settings: Settings, ssh: SshSettings) -> tuple[Hop, ...]:
    """The hops in order: the request's own, or its group's. Raises :class:`UnreachableForGood` for an unknown one."""
    names = ssh.jump if request.jump is None else request.jump
    return tuple(_hop(name, request.group, settings, ssh) for name in names)


def _hop(name: str, group: str, settings: Settings, ssh: SshSettings) -> Hop:
    jumps = settings.jumps
    if name not in jumps:
        raise UnreachableForGood(
            f"this worker knows no jump {name!r}",
            did_you_mean(name, jumps) or f"add [jumps.{name}] to the settings of this worker's host",
        )
    jump = jumps[name]
    target = Target(
        address=jump.address,
        port=jump.usual_port,
        driver="",
        host_keys=jump.host_key,
        host_key_policy=jump.host_keys,
        legacy=jump.algorithms == "legacy",
        connect_timeout_s=ssh.connect_timeout_s,
        device=name,
        jump=name,
        jump_kind=_KINDS[jump.kind],
        source_addresses=ssh.source_address,
    )
    return Hop(name, jump, target, group)
