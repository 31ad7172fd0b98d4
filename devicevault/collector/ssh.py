"""An SSH connection to a device: netmiko's, on a socket of our own that can be shut from outside.

Nothing here prepares the session: netmiko's drivers would, and some of them change the device.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import netmiko
import paramiko
from netmiko.base_connection import BaseConnection
from netmiko.exceptions import NetmikoAuthenticationException, NetmikoTimeoutException
from netmiko.ssh_dispatcher import CLASS_MAPPER_BASE

from devicevault.collector import hostkeys
from devicevault.collector.deadline import Limit
from devicevault.credentials import Credential
from devicevault.errors import (
    AuthenticationFailed,
    CollectionError,
    CredentialUnusable,
    DeviceUnreachable,
    PlatformUnknown,
    SessionTimeout,
)

# Both libraries log tracebacks of their own for what ends as one sentence in a result.
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


class NoCommonAlgorithm(DeviceUnreachable):
    """The device speaks no SSH algorithm this worker may use; trying again changes nothing."""


@dataclass(frozen=True)
class Target:
    """Where to connect and what to insist on."""

    address: str
    port: int
    driver: str
    host_keys: tuple[str, ...] = ()
    host_key_policy: hostkeys.Policy = "accept-new"
    legacy: bool = False
    connect_timeout_s: float = 15.0
    login_suffix: str = ""

    def __str__(self) -> str:
        return f"{self.address} port {self.port}"


class _Transport(paramiko.Transport):  # type: ignore[misc]  # paramiko is untyped
    """A transport that remembers its key exchange, which paramiko forgets as soon as it is done."""

    kex_used = ""

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

    def connect(self, hostname: str, **parameters: Any) -> None:
        super().connect(hostname, transport_factory=self._make_transport, **parameters)

    def _make_transport(self, sock: socket.socket, **parameters: Any) -> paramiko.Transport:
        transport = _Transport(sock, **parameters)
        transport.handshake_timeout = self.limit.remaining_s
        options = transport.get_security_options()
        options.key_types = hostkeys.preferred(options.key_types, self.target.host_keys)
        return transport


class _CheckHostKey(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko is untyped
    """Asked for every key, because the client knows none by itself."""

    def missing_host_key(self, client: Client, hostname: str, key: paramiko.PKey) -> None:
        client.host_key_seen = hostkeys.written(key)
        hostkeys.check(client.host_key_seen, client.target.host_keys, client.target.host_key_policy)
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


def log_in(sock: socket.socket, target: Target, credential: Credential, limit: Limit) -> DeviceConnection:
    """Logs in over a connected socket and opens a terminal; ``limit`` must be entered and guard the socket.

    The caller disconnects what it is given. Raises a :class:`CollectionError` whose sentence an operator can act
    on; the socket is closed then.
    """
    limit.step = f"waiting for the SSH banner of {target}"
    connection = None
    try:
        key = private_key(credential)
        connection = driver_class(target.driver)(
            host=target.address,
            port=target.port,
            username=credential.username + target.login_suffix,
            password=credential.password if credential.password or key is None else None,
            pkey=key,
            device_type=target.driver,
            sock=sock,
            auto_connect=False,
            encoding="latin-1",
            conn_timeout=limit.remaining_s,
            auth_timeout=limit.remaining_s,
            banner_timeout=min(target.connect_timeout_s, limit.remaining_s),
            blocking_timeout=limit.remaining_s,
        )
        connection.limit = limit
        connection.client = Client(target, limit)
        # After the driver's own choice: the FortiOS driver would allow nothing but slow, old key exchange.
        connection.disabled_algorithms = {} if target.legacy else dict(LEGACY_ALGORITHMS)
        connection.establish_connection()
    except Exception as error:  # noqa: BLE001 (raised anew in words; paramiko raises nearly anything)
        if connection is not None:
            connection.disconnect()
        sock.close()
        limit.check()
        raise explain(error, target, credential, limit) from None
    return connection


def private_key(credential: Credential) -> paramiko.PKey | None:
    """The credential's SSH key, or None when it has none. Raises :class:`CredentialUnusable`."""
    if not credential.key:
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(credential.key), credential.passphrase or None)
        except paramiko.PasswordRequiredException:
            raise CredentialUnusable(
                f"the SSH key of credential {credential.name!r} is encrypted", "give its passphrase as well"
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, UnicodeDecodeError):
            continue
    raise CredentialUnusable(
        f"the SSH key of credential {credential.name!r} can't be read",
        "it must be an OpenSSH or PEM private key (Ed25519, ECDSA or RSA), and its passphrase must be right",
    )


def connect_tcp(target: Target, limit: Limit) -> socket.socket:
    """A socket connected to the first address that answers, guarded by ``limit``."""
    limit.step = f"connecting to {target}"
    ends_s = min(target.connect_timeout_s, limit.remaining_s)
    problem = "has no address"
    for family, kind, protocol, _, address in resolve(target, ends_s, limit):
        sock = socket.socket(family, kind, protocol)
        limit.guard(sock)
        sock.settimeout(max(0.001, min(ends_s, limit.remaining_s)))
        try:
            sock.connect(address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except TimeoutError:
            problem = f"did not answer within {ends_s:g} s"
        except OSError as error:
            problem = f"can't be reached: {error.strerror or error}"
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
    problem = f"has no address ({trouble[0]})" if trouble else f"was not looked up within {timeout_s:g} s"
    raise DeviceUnreachable(
        f"the host name {target.address!r} {problem}", "check the name, or the name servers of the worker's host"
    )


def explain(error: BaseException, target: Target, credential: Credential, limit: Limit) -> CollectionError:
    """Why a login failed, from what paramiko raised underneath netmiko's own exception."""
    cause = _root(error)
    where = str(target)
    if isinstance(cause, CollectionError):
        return cause
    if isinstance(cause, paramiko.ssh_exception.IncompatiblePeer):
        return NoCommonAlgorithm(
            f"{where} and this worker have no SSH algorithm in common ({cause})",
            'set algorithms = "legacy" for the device or its group in the inventory, or renew its SSH settings'
            if not target.legacy
            else "not even the old ones; the device needs newer SSH settings",
        )
    if isinstance(cause, paramiko.AuthenticationException):
        return _refused(cause, where, credential)
    text = str(cause) or type(cause).__name__
    if "protocol banner" in text:
        return DeviceUnreachable(
            f"{where} accepted the connection but sent no SSH banner", "check that SSH listens on this port"
        )
    return DeviceUnreachable(f"{where} broke off while {limit.step}: {text}")


def _refused(cause: paramiko.AuthenticationException, where: str, credential: Credential) -> CollectionError:
    if "timeout" in str(cause).lower():
        return SessionTimeout(f"{where} did not answer the login", "see whether its RADIUS or TACACS+ server is up")
    offered = "key" if credential.key and not credential.password else "password"
    allowed = getattr(cause, "allowed_types", None)
    wants = f" (the device allows {', '.join(allowed)})" if allowed else ""
    return AuthenticationFailed(
        f"{where} refused user {credential.username!r} with the {offered} of credential {credential.name!r}{wants}",
        "check the credential in the worker's credentials file and the account on the device",
    )


def _root(error: BaseException) -> BaseException:
    # netmiko raises its own inside `except`, which leaves the cause as context.
    wrapped = isinstance(error, NetmikoTimeoutException | NetmikoAuthenticationException)
    return (error.__context__ if wrapped else None) or error
