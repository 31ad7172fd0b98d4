"""netmiko's connection, with our own reading and none of its drivers' preparations.

A driver prepares a session by typing what it thinks fit, and some of them change the device.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import netmiko
import paramiko
from netmiko.base_connection import BaseConnection
from netmiko.ssh_dispatcher import CLASS_MAPPER_BASE

from devicevault.collector import hostkeys
from devicevault.collector.agent import Agent
from devicevault.collector.deadline import Limit
from devicevault.collector.tcp import Target
from devicevault.credentials import Credential
from devicevault.errors import AuthenticationFailed, DeviceUnreachable, PlatformUnknown

# It logs tracebacks of its own for what ends as one sentence in a result.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

RECEIVE_BYTES: Final = 65536

#: Not offered unless a device or group is set to ``legacy``. HMAC-SHA-1 stays: no attack on SHA-1 reaches it.
LEGACY_ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "kex": ("diffie-hellman-group-exchange-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"),
    "keys": ("ssh-rsa",),
    "pubkeys": ("ssh-rsa",),
    "ciphers": ("aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"),
    "macs": ("hmac-md5", "hmac-sha1-96", "hmac-md5-96"),
}


#: What paramiko and RFC 4253 call the kinds of algorithms.
_KINDS: Final = (
    ("kex", "key exchange", ("kex_algo_list",)),
    ("keys", "host key algorithm", ("server_key_algo_list",)),
    ("ciphers", "cipher", ("client_encrypt_algo_list", "server_encrypt_algo_list")),
    ("macs", "MAC", ("client_mac_algo_list", "server_mac_algo_list")),
)
_MARKERS: Final = ("ext-info-", "kex-strict-")


class NothingInCommon(paramiko.ssh_exception.IncompatiblePeer):  # type: ignore[misc]  # paramiko is untyped
    """The device offers no algorithm of one kind that may be used."""

    def __init__(self, kind: str, title: str, offered: tuple[str, ...]) -> None:
        super().__init__(f"no {title} in common")
        self.title = title
        self.offered = offered
        self.is_legacy = not set(offered).isdisjoint(LEGACY_ALGORITHMS[kind])


class _Transport(paramiko.Transport):  # type: ignore[misc]  # paramiko is untyped
    """A transport that remembers its key exchange, which paramiko forgets as soon as it is done, and asks nobody."""

    kex_used = ""
    #: Where it leads, in words.
    place = ""
    _device_offers: Mapping[str, list[str]] = MappingProxyType({})

    def _really_parse_kex_init(self, *args: Any, **options: Any) -> Any:
        self._device_offers = super()._really_parse_kex_init(*args, **options)
        return self._device_offers

    def _parse_kex_init(self, *args: Any) -> None:
        try:
            super()._parse_kex_init(*args)
        except paramiko.ssh_exception.IncompatiblePeer:
            for kind, title, lists in _KINDS:
                usable = getattr(self, f"preferred_{kind}")
                for offered in (self._device_offers.get(name, []) for name in lists):
                    if not set(offered) & set(usable):
                        real = tuple(name for name in offered if not name.startswith(_MARKERS))
                        raise NothingInCommon(kind, title, real) from None
            raise

    def auth_interactive(self, username: str, handler: Callable[..., list[str]], submethods: str = "") -> list[str]:
        """Answers one question. A second one asks for the password again, or for a new one."""
        asked = False

        def answer(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            nonlocal asked
            if prompts and asked:
                raise AuthenticationFailed(
                    f"{self.place} asked {prompts[0][0].strip()[:60]!r} after it was given the password",
                    "see that the password is right and not expired; nobody here knows a one-time code",
                )
            asked = asked or bool(prompts)
            return handler(title, instructions, prompts)

        methods: list[str] = super().auth_interactive(username, answer, submethods)
        return methods

    def auth_interactive_dumb(self, username: str, handler: Any = None, submethods: str = "") -> list[str]:
        """Nobody sits at this terminal. Raises what says that a key alone will not do."""
        raise paramiko.BadAuthenticationType("a key is not enough", ["password", "keyboard-interactive"])

    @property
    def kex_engine(self) -> Any:
        return self._kex_engine

    @kex_engine.setter
    def kex_engine(self, engine: Any) -> None:
        self._kex_engine = engine
        self.kex_used = getattr(engine, "name", self.kex_used)


class Client(paramiko.SSHClient):  # type: ignore[misc]  # paramiko is untyped
    """paramiko's client, offering first the host key algorithm that is pinned, with the session's time limit."""

    def __init__(self, target: Target, limit: Limit) -> None:
        super().__init__()
        self.target = target
        self.limit = limit
        self.host_key_seen = ""
        self.set_missing_host_key_policy(_CheckHostKey())

    def set_missing_host_key_policy(self, policy: Any) -> None:
        # netmiko sets one that accepts every key.
        if isinstance(policy, _CheckHostKey):
            super().set_missing_host_key_policy(policy)

    def use_agent(self, credential: Credential) -> None:
        """Has the keys of the credential's SSH agent offered, if it has one. Raises :class:`CredentialUnusable`."""
        if credential.agent:
            # Where paramiko keeps the agent it would otherwise look for by itself, in the environment alone.
            self._agent = Agent(credential)

    def connect(self, hostname: str, **parameters: Any) -> None:
        super().connect(hostname, transport_factory=self._make_transport, **parameters)

    def _auth(self, username: str, *args: Any) -> None:
        if self.target.no_ssh_auth:
            self.get_transport().auth_none(username)
        else:
            super()._auth(username, *args)

    def _make_transport(self, sock: socket.socket, **parameters: Any) -> paramiko.Transport:
        transport = _Transport(sock, **parameters)
        transport.handshake_timeout = self.limit.remaining_s
        transport.place = str(self.target)
        options = transport.get_security_options()
        options.key_types = hostkeys.preferred(options.key_types, self.target.host_keys)
        return transport


class _CheckHostKey(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko is untyped
    """Asked for every key, because the client knows none by itself."""

    def missing_host_key(self, client: Client, hostname: str, key: paramiko.PKey) -> None:
        client.host_key_seen = hostkeys.written(key)
        target = client.target
        hostkeys.check(client.host_key_seen, target.host_keys, target.host_key_policy, target.device, target.jump)
        client.limit.step = "logging in"


class DeviceConnection(BaseConnection):
    """What every driver's class is given instead of its own preparation, reading and clean-up."""

    client: Client
    limit: Limit

    def session_preparation(self) -> None:
        """Nothing: the platform page says what is typed, and nothing else is."""

    def special_login_handler(self, delay_factor: float = 1.0) -> None:
        """Nothing: the platform page answers what a device asks at login."""

    def cleanup(self, command: str = "") -> None:
        """Nothing: the session types what its page says to leave."""

    def _get_ssh_client_instance(self) -> paramiko.SSHClient:
        return self.client

    def receive(self, wait_s: float) -> str:
        """What the device sends next, as Latin-1 so that no byte is lost; empty when it is silent for ``wait_s``.

        Raises the limit's reason once the session was ended from outside, and :class:`DeviceUnreachable` when
        the device closed the connection.
        """
        self.limit.check()
        self._terminal.settimeout(max(0.001, min(wait_s, self.limit.remaining_s)))
        try:
            data: bytes = self._terminal.recv(RECEIVE_BYTES)
        except TimeoutError:
            self.limit.check()
            return ""
        except OSError as error:
            self.limit.check()
            raise DeviceUnreachable(f"the connection broke off while {self.limit.step}: {error}") from None
        if not data:
            self.limit.check()
            raise DeviceUnreachable(f"the device closed the connection while {self.limit.step}")
        return data.decode("latin-1")

    def read_channel(self) -> str:
        """As :meth:`receive`, for netmiko's own methods."""
        return self.receive(0.01)

    def write_channel(self, out_data: str) -> None:
        """Nothing: what netmiko itself would type, no page lists."""

    def send(self, text: str) -> None:
        """Types ``text``. Raises as :meth:`receive` does."""
        self.limit.check()
        try:
            self._terminal.settimeout(max(0.001, self.limit.remaining_s))
            self._terminal.sendall(text.encode())
        except OSError as error:
            self.limit.check()
            raise DeviceUnreachable(f"the connection broke off while {self.limit.step}: {error}") from None

    @property
    def _terminal(self) -> paramiko.Channel:
        return self.remote_conn

    @property
    def banner(self) -> str:
        """The other side's SSH version string."""
        transport = self.client.get_transport()
        return str(transport.remote_version) if transport else ""

    @property
    def host_key_seen(self) -> str:
        """The device's host key, ``type base64``."""
        return self.client.host_key_seen

    @property
    def legacy_algorithms_used(self) -> tuple[str, ...]:
        """Which outdated algorithms this connection relies on."""
        transport = self.client.get_transport()
        used = {transport.kex_used, transport.host_key_type, transport.local_cipher, transport.remote_cipher}
        used |= {transport.local_mac, transport.remote_mac}
        return tuple(sorted(used & {name for names in LEGACY_ALGORITHMS.values() for name in names}))


def driver_class(driver: str) -> type[DeviceConnection]:
    """netmiko's class for this driver, with our own reading. Raises :class:`PlatformUnknown`."""
    base = CLASS_MAPPER_BASE.get(driver)
    if base is None:
        raise PlatformUnknown(
            f"netmiko {netmiko.__version__} has no driver {driver!r}", "correct `driver` in the platform's page"
        )
    return type(f"Device_{driver}", (DeviceConnection, base), {})
