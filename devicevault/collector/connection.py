"""netmiko's connection, with our own reading and none of its drivers' preparations.

A driver prepares a session by typing what it thinks fit, and some of them change the device.
"""

from __future__ import annotations

import socket
from functools import cache
from typing import Any, Final

import netmiko
import paramiko
from netmiko.base_connection import BaseConnection
from netmiko.ssh_dispatcher import CLASS_MAPPER_BASE

from devicevault.collector import hostkeys
from devicevault.collector.agent import Agent
from devicevault.collector.deadline import Limit
from devicevault.collector.readahead import ReadAhead
from devicevault.collector.tcp import Target
from devicevault.collector.transport import LEGACY_ALGORITHMS, Transport
from devicevault.credentials import Credential
from devicevault.errors import DeviceUnreachable, PlatformUnknown

RECEIVE_BYTES: Final = 65536


class Client(paramiko.SSHClient):  # type: ignore[misc]  # paramiko is untyped
    """paramiko's client, offering first the host key algorithm that is pinned, with the session's time limit."""

    def __init__(self, target: Target, limit: Limit) -> None:
        super().__init__()
        self.target = target
        self.limit = limit
        self.host_key_seen = ""
        # Here they stay empty, and paramiko's own would make a class at each look into them.
        empty: dict[str, paramiko.PKey] = {}
        self._system_host_keys = self._host_keys = empty
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
        transport = Transport(ReadAhead(sock), **parameters)
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
        self._terminal.settimeout(wait_s and max(0.001, min(wait_s, self.limit.remaining_s)))
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


@cache
def driver_class(driver: str) -> type[DeviceConnection]:
    """netmiko's class for this driver, with our own reading. Raises :class:`PlatformUnknown`."""
    base = CLASS_MAPPER_BASE.get(driver)
    if base is None:
        raise PlatformUnknown(
            f"netmiko {netmiko.__version__} has no driver {driver!r}", "correct `driver` in the platform's page"
        )
    return type(f"Device_{driver}", (DeviceConnection, base), {})
