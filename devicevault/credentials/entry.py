"""One credential as the file declares it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from devicevault import names
from devicevault.credentials.source import LiteralSource, SecretSource, secret_source
from devicevault.errors import Fault
from devicevault.nearest import did_you_mean
from devicevault.tomlfile import TomlDocument

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_SECRETS: Final = ("username", "password", "enable", "key", "passphrase")
_BINDINGS: Final = ("networks", "groups")


@dataclass(frozen=True)
class CredentialEntry:
    """One credential as declared: where its secrets are, and which devices it is for."""

    sources: Mapping[str, SecretSource]
    #: Only devices with an address in one of these; everywhere when empty.
    networks: tuple[Network, ...] = ()
    #: Only devices of these collector groups; all when empty.
    groups: tuple[str, ...] = ()

    def is_for_address(self, address: str) -> bool:
        """Whether a session to this IP address may use the credential."""
        return not self.networks or _within(address, self.networks)

    def is_for_group(self, group: str) -> bool:
        return not self.groups or group in self.groups


class EntryParser:
    """Reads one ``[credentials.NAME]`` table and gathers its faults."""

    def __init__(self, document: TomlDocument, name: str) -> None:
        self._document = document
        self._name = name
        self.faults: list[Fault] = []

    def parse(self, table: Any) -> CredentialEntry:
        if not isinstance(table, dict):
            self._fault((), "is not a table", f"write [credentials.{self._name}] with username and password below it")
            return CredentialEntry({})
        for key in table.keys() - {*_SECRETS, *_BINDINGS}:
            fix = did_you_mean(key, (*_SECRETS, *_BINDINGS)) or f"known keys: {', '.join((*_SECRETS, *_BINDINGS))}"
            self._fault((key,), "unknown key", fix)
        sources = dict(self._sources(table))
        self._check_whole(table, sources)
        return CredentialEntry(sources, tuple(self._networks(table)), tuple(self._groups(table)))

    def _fault(self, keys: tuple[str, ...], problem: str, fix: str = "") -> None:
        self.faults.append(self._document.fault(("credentials", self._name, *keys), problem, fix))

    def _sources(self, table: dict[str, Any]) -> Iterator[tuple[str, SecretSource]]:
        for key in _SECRETS:
            if key not in table:
                continue
            try:
                source = secret_source(table[key], self._document.path.absolute().parent)
            except ValueError as error:
                self._fault((key,), str(error))
                continue
            if key == "key" and isinstance(source, LiteralSource) and "PRIVATE KEY-----" not in source.text:
                self._fault((key,), "is not a private key", 'for a key in a file write { file = "PATH" }')
            yield key, source

    def _check_whole(self, table: dict[str, Any], sources: dict[str, SecretSource]) -> None:
        if "username" not in table:
            self._fault((), "has no username", 'add: username = "NAME"')
        if not table.keys() & {"password", "key"}:
            self._fault((), "has neither password nor key", "add one of the two")
        if "passphrase" in sources and "key" not in table:
            self._fault(("passphrase",), "there is no key it could open", "add key, or remove passphrase")

    def _networks(self, table: dict[str, Any]) -> Iterator[Network]:
        for text in self._texts(table, "networks"):
            try:
                yield ipaddress.ip_network(text)
            except ValueError:
                self._fault(("networks",), f"{text!r} is not a network", 'write it as "10.0.0.0/8" or "2001:db8::/32"')

    def _groups(self, table: dict[str, Any]) -> Iterator[str]:
        for text in self._texts(table, "groups"):
            if names.is_group_name(text):
                yield text
            else:
                self._fault(("groups",), f"{text!r} can't be a group's name", "small letters, digits, - and _")

    def _texts(self, table: dict[str, Any], key: str) -> list[str]:
        value = table.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value) and (value or key not in table):
            return value
        self._fault((key,), "is not a list of texts", f'write {key} = ["…"], or leave it out')
        return []


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return any((mapped or ip) in network for network in networks)
