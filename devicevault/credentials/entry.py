"""One credential as the file declares it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from devicevault import names
from devicevault.credentials.source import LiteralSource, SecretSource, secret_source
from devicevault.errors import Fault
from devicevault.nearest import did_you_mean
from devicevault.tomlfile import TomlDocument

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_SECRETS: Final = ("username", "password", "enable", "key", "passphrase")
_BINDINGS: Final = ("networks", "groups")
#: Every key of a ``[credentials.NAME]`` table.
KEYS: Final = (*_SECRETS, "agent", *_BINDINGS, "telnet")


@dataclass(frozen=True)
class CredentialEntry:
    """One credential as declared: where its secrets are, and which devices it is for."""

    sources: Mapping[str, SecretSource]
    #: Only devices with an address in one of these; everywhere when empty.
    networks: tuple[Network, ...] = ()
    #: Only devices of these collector groups; all when empty.
    groups: tuple[str, ...] = ()
    #: An SSH agent's socket; ``True`` for the one in the worker's environment.
    agent: str | bool = False
    #: Whether it may be typed over telnet, where everybody on the way can read it.
    telnet: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether it is for some devices only."""
        return bool(self.networks or self.groups)

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
        for key in table.keys() - {*KEYS}:
            self._fault((key,), "unknown key", did_you_mean(key, KEYS) or f"known keys: {', '.join(KEYS)}")
        sources = dict(self._sources(table))
        self._check_whole(table, sources)
        return CredentialEntry(
            sources,
            tuple(self._networks(table)),
            tuple(self._groups(table)),
            agent=self._agent(table.get("agent", False)),
            telnet=self._flag(table, "telnet"),
        )

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
            if key == "key" and isinstance(source, LiteralSource) and not _is_key(source.text, "agent" in table):
                kind = "public key of one in the agent" if "agent" in table else "private key"
                self._fault((key,), f"is not a {kind}", 'for a key in a file write { file = "PATH" }')
            yield key, source

    def _check_whole(self, table: dict[str, Any], sources: dict[str, SecretSource]) -> None:
        if "username" not in table:
            self._fault((), "has no username", 'add: username = "NAME"')
        if not table.keys() & {"password", "key", "agent"}:
            self._fault((), "has neither password nor key", "add one of the two, or agent")
        if "passphrase" in sources and "key" not in table:
            self._fault(("passphrase",), "there is no key it could open", "add key, or remove passphrase")

    def _agent(self, value: Any) -> str | bool:
        if isinstance(value, bool) or (isinstance(value, str) and Path(value).is_absolute()):
            return value
        self._fault(("agent",), "is no agent's socket", 'write agent = "/PATH/OF/SOCKET", or true for $SSH_AUTH_SOCK')
        return False

    def _flag(self, table: dict[str, Any], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self._fault((key,), "must be true or false, without quotes")
        return bool(value)

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


def _is_key(text: str, with_agent: bool) -> bool:
    return is_public_key(text) if with_agent else "PRIVATE KEY-----" in text


def is_public_key(text: str) -> bool:
    """Whether this is a public key as in an ``authorized_keys`` file: the agent has the private one."""
    return text.startswith(("ssh-", "ecdsa-", "sk-")) and len(text.split()) >= len(("type", "base64"))


def is_ip_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address, with or without a scope (``%eth0``)."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    if not is_ip_address(address):
        return False
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return any((mapped or ip) in network for network in networks)
