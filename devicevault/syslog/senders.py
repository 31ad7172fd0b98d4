"""Whose message it is: the inventory's devices by the addresses they send from."""

from __future__ import annotations

import re
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from devicevault.inventory import Device
from devicevault.platforms import Platforms
from devicevault.syslog.message import Message

#: Names that are looked up at once.
LOOKUPS: Final = 16

Network: TypeAlias = IPv4Network | IPv6Network
Addresses: TypeAlias = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Watched:
    """A device, and what its messages of a change say."""

    device: Device
    change_messages: tuple[re.Pattern[str], ...]

    def tells_change(self, message: Message) -> bool:
        return any(pattern.search(message.text) for pattern in self.change_messages)


@dataclass(frozen=True)
class Senders:
    """Every enabled device, found by who sent a message."""

    by_id: Mapping[str, Watched] = field(default_factory=dict)
    by_address: Mapping[str, tuple[Watched, ...]] = field(default_factory=dict)
    by_name: Mapping[str, tuple[Watched, ...]] = field(default_factory=dict)
    relays: tuple[Network, ...] = ()

    @classmethod
    def of(
        cls,
        devices: Iterable[Device],
        platforms: Platforms,
        relays: Sequence[str] = (),
        resolved: Addresses | None = None,
    ) -> Senders:
        """``resolved`` has the addresses of the host names among the devices' addresses."""
        by_id: dict[str, Watched] = {}
        by_address: dict[str, list[Watched]] = defaultdict(list)
        by_name: dict[str, list[Watched]] = defaultdict(list)
        for device in devices:
            if not device.enabled:
                continue
            watched = Watched(device, platforms.get(device.platform).change_messages)
            by_id[device.device_id] = watched
            literal = plain_address(device.address)
            addresses = (literal,) if literal else (resolved or {}).get(device.address, ())
            for address in addresses:
                by_address[address].append(watched)
            for name in {device.name.casefold(), device.address.casefold(), *addresses}:
                by_name[name].append(watched)
        return cls(by_id, _frozen(by_address), _frozen(by_name), tuple(ip_network(relay) for relay in relays))

    @property
    def telling(self) -> int:
        """How many of them are of a platform that tells of changes."""
        return sum(bool(watched.change_messages) for watched in self.by_id.values())

    def knows(self, address: str) -> bool:
        """Whether messages from this address may be about a device at all."""
        return address in self.by_address or self._is_relay(address)

    def of_message(self, address: str, message: Message) -> tuple[Watched, ...]:
        """The devices the message may be of: those of the address, or those a relay's message names."""
        if not self._is_relay(address):
            return self.by_address.get(address, ())
        hostname = message.hostname.casefold()
        return self.by_name.get(plain_address(hostname) or hostname) or self.by_name.get(hostname.partition(".")[0], ())

    def _is_relay(self, address: str) -> bool:
        if not self.relays:
            return False
        parsed = ip_address(address)
        return any(parsed in network for network in self.relays)


def plain_address(address: str) -> str:
    """The address in the one form it is compared in: an IPv4 address mapped into IPv6 is itself; empty for a name."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def resolve(devices: Iterable[Device], known: Addresses) -> Addresses:
    """The addresses of the devices that the inventory knows by a host name, looked up now.

    A name that can't be looked up keeps the addresses that are ``known``. Takes as long as name servers do.
    """
    names = sorted({device.address for device in devices if device.enabled and not plain_address(device.address)})
    with ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup") as pool:
        return {
            name: found or tuple(known.get(name, ()))
            for name, found in zip(names, pool.map(_look_up, names), strict=True)
        }


def _look_up(name: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(plain_address(str(entry[4][0])) for entry in found))


def _frozen(lists: Mapping[str, list[Watched]]) -> dict[str, tuple[Watched, ...]]:
    return {key: tuple(values) for key, values in lists.items()}
