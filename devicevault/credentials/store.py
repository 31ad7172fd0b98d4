"""The worker host's credentials file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from devicevault.credentials.credential import Credential
from devicevault.credentials.entry import CredentialEntry, EntryParser, is_ip_address
from devicevault.credentials.permissions import exposure, remedy
from devicevault.credentials.source import LiteralSource, SecretSource
from devicevault.errors import ConfigurationError, CredentialUnusable, Fault
from devicevault.nearest import did_you_mean
from devicevault.tomlfile import TomlDocument, parse_toml, read_text


class CredentialStore:
    """Every credential this worker may use, by name."""

    def __init__(self, path: Path, entries: Mapping[str, CredentialEntry]) -> None:
        self._path = path
        self._entries = entries

    def __repr__(self) -> str:
        return f"CredentialStore({str(self._path)!r}, names={self.names()!r})"

    @classmethod
    def load(cls, path: Path) -> CredentialStore:
        """The store in this file. Raises :class:`ConfigurationError` with every fault, and for a mode too open."""
        document = _read(path)
        faults: list[Fault] = list(document.duplicates)
        entries: dict[str, CredentialEntry] = {}
        for key, tables in document.data.items():
            if key != "credentials" or not isinstance(tables, dict):
                fix = did_you_mean(key, ["credentials"]) or "a credential stands in a table [credentials.NAME]"
                faults.append(document.fault((key,), "does not belong here", fix))
                continue
            for name, table in tables.items():
                parser = EntryParser(document, name)
                entries[name] = parser.parse(table)
                faults += parser.faults
        if faults:
            raise ConfigurationError(sorted(faults, key=lambda fault: fault.line or 0))
        return cls(path, entries)

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def unbound(self) -> tuple[str, ...]:
        """The names of those bound to neither networks nor groups: a forged request could send them anywhere."""
        return tuple(name for name, entry in self._entries.items() if not entry.is_bound)

    def resolve(self, name: str, *, address: str = "", group: str = "", telnet: bool = False) -> Credential:
        """The credential, its secrets read now. ``address`` is the IP address the session goes to.

        Raises :class:`CredentialUnusable` when there is none of this name, when a secret can't be read, or when
        the credential is not meant for this address or group, or not for ``telnet``.
        """
        entry = self._entries.get(name)
        if entry is None:
            fix = did_you_mean(name, self._entries) or f"add [credentials.{name}] to {self._path} on this worker"
            raise CredentialUnusable(f"this worker has no credential {name!r}", fix)
        self._refuse_strangers(name, entry, address, group)
        if telnet and not entry.telnet:
            raise CredentialUnusable(
                f"credential {name!r} is not for telnet, where everybody on the way can read it",
                f"give the device a credential of its own, with telnet = true in [credentials.{name}]",
            )
        values = {key: self._secret(name, key, source) for key, source in entry.sources.items()}
        return Credential(name=name, agent=_agent_socket(name, entry), **values)

    def _refuse_strangers(self, name: str, entry: CredentialEntry, address: str, group: str) -> None:
        fix = "give the device another credential, or widen {} in the worker's credentials file"
        if not entry.is_for_group(group):
            raise CredentialUnusable(
                f"credential {name!r} is not for collector group {group!r}", fix.format(f"credentials.{name}.groups")
            )
        if not entry.is_for_address(address):
            problem = f"credential {name!r} is not for the address {address or '(none)'}"
            if address and not is_ip_address(address):
                fix = "give the device's IP address in the inventory: behind a jump a name is looked up out of sight"
            raise CredentialUnusable(problem, fix.format(f"credentials.{name}.networks"))

    def _secret(self, name: str, key: str, source: SecretSource) -> str:
        try:
            text = source.read()
        except CredentialUnusable as error:
            raise CredentialUnusable(f"credential {name!r}, {key}: {error.problem}", error.fix) from None
        if not isinstance(source, LiteralSource):
            # Files end with a line end, and password stores print notes below the first line.
            text = text.strip() + "\n" if key == "key" else text.partition("\n")[0].rstrip("\r")
        if not text.strip():
            raise CredentialUnusable(f"credential {name!r}, {key}: the secret read is empty")
        return text


def _agent_socket(name: str, entry: CredentialEntry) -> str:
    if entry.agent is not True:
        return entry.agent or ""
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise CredentialUnusable(
            f"credential {name!r} is in an SSH agent, and SSH_AUTH_SOCK is not set", 'name its socket: agent = "/PATH"'
        )
    return path


def known_credentials(path: Path) -> tuple[str, ...] | None:
    """The names of the credentials in this file; ``None`` where there is no such file or this user may not read it.

    Credentials live on the workers: on another host their absence is no fault. Raises
    :class:`ConfigurationError` for a file that is there and wrong.
    """
    try:
        with path.open("rb"):
            pass
    except (FileNotFoundError, PermissionError):
        return None
    except OSError:
        pass  # load() words it
    return CredentialStore.load(path).names()


def _read(path: Path) -> TomlDocument:
    text = read_text(path, if_missing="create it, or set credentials_file")
    exposed = exposure(path)
    if exposed:
        raise ConfigurationError(Fault(str(path), exposed, remedy(path)))
    return parse_toml(path, text)
