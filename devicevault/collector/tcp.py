"""A TCP connection to a device, on a socket that can be shut down from outside at any moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from devicevault.collector import hostkeys
from devicevault.collector.deadline import Limit
from devicevault.errors import DeviceUnreachable


@dataclass(frozen=True)
class Target:
    """Where to connect and what to insist on; ``device`` is the name an operator knows it by."""

    address: str
    port: int
    driver: str
    host_keys: tuple[str, ...] = ()
    host_key_policy: hostkeys.Policy = "accept-new"
    legacy: bool = False
    connect_timeout_s: float = 15.0
    login_suffix: str = ""
    #: Let in by SSH without a password: the terminal asks for it.
    no_ssh_auth: bool = False
    #: The one name SSH lets in then; the credential's where it is empty.
    ssh_user: str = ""
    device: str = "DEVICE"
    #: The name in ``[jumps]`` and what it is, such as ``jump host``, where this is not a device.
    jump: str = ""
    jump_kind: str = ""
    #: Addresses of this host to come from, one of each family at most.
    source_addresses: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.address} port {self.port}"
        return f"{self.jump_kind} {self.jump!r} ({place})" if self.jump else place

    def source_for(self, family: int) -> str | None:
        """The address to come from when going to one of this family; an empty one leaves it to the routing table.

        ``None`` where addresses are set, but none of this family.
        """
        if not self.source_addresses:
            return ""
        version = 6 if family == socket.AF_INET6 else 4
        return next((source for source in self.source_addresses if ip_address(source).version == version), None)


def connect_tcp(target: Target, limit: Limit) -> socket.socket:
    """A socket connected to the first address that answers, guarded by ``limit``."""
    ends_s = min(target.connect_timeout_s, limit.remaining_s)
    problem = "has no address"
    for family, kind, protocol, _, address in resolve(target, ends_s, limit):
        source = target.source_for(family)
        if source is None:
            problem = "can't be reached: ssh.source_address has none of its address family"
            continue
        sock = socket.socket(family, kind, protocol)
        limit.guard(sock)
        limit.step = f"connecting to {target}"
        sock.settimeout(max(0.001, min(ends_s, limit.remaining_s)))
        try:
            if source:
                sock.bind((source, 0))
            sock.connect(address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except TimeoutError:
            problem = f"did not answer within {ends_s:g} s"
        except OSError as error:
            origin = f" from {source}" if source else ""
            problem = f"can't be reached{origin}: {error.strerror or error}"
        sock.close()
        limit.check()
    raise DeviceUnreachable(
        f"{target} {problem}",
        "check address, port, routing and firewall from the worker's host",
    )


def resolve(target: Target, timeout_s: float, limit: Limit) -> Sequence[tuple[Any, ...]]:
    """Addresses of the target, from a thread of its own: nothing can interrupt a resolver that hangs."""
    answer: list[Sequence[tuple[Any, ...]]] = []
    trouble: list[OSError | UnicodeError] = []

    def ask(flags: int = 0) -> None:
        try:
            answer.append(socket.getaddrinfo(target.address, target.port, type=socket.SOCK_STREAM, flags=flags))
        except (OSError, UnicodeError) as error:
            trouble.append(error)

    ask(socket.AI_NUMERICHOST)
    if not answer:
        trouble.clear()
        limit.step = f"looking up {target.address}"
        thread = threading.Thread(target=ask, name=f"resolve {target.address}", daemon=True)
        thread.start()
        thread.join(timeout_s)
        limit.check()
    if answer:
        return answer[0]
    problem = (
        f"has no address ({getattr(trouble[0], 'strerror', '') or trouble[0]})"
        if trouble
        else f"was not looked up within {timeout_s:g} s"
    )
    raise DeviceUnreachable(
        f"the host name {target.address!r} {problem}", "check the name, or the name servers of the worker's host"
    )
