"""Logging in to a device over SSH, and why it failed, in words."""

from __future__ import annotations

import io
import socket

import paramiko
from netmiko.exceptions import NetmikoAuthenticationException, NetmikoTimeoutException

from devicevault.collector.connection import Client, DeviceConnection, driver_class
from devicevault.collector.deadline import Limit
from devicevault.collector.tcp import Target
from devicevault.collector.transport import LEGACY_ALGORITHMS, NothingInCommon
from devicevault.credentials import Credential
from devicevault.errors import (
    AuthenticationFailed,
    CollectionError,
    CredentialUnusable,
    DeviceUnreachable,
    SessionTimeout,
    UnreachableForGood,
)


def open_client(sock: socket.socket, target: Target, credential: Credential, limit: Limit) -> Client:
    """Logs in over a connected socket without opening a terminal, as to a jump host; ``limit`` must guard the socket.

    The caller closes what it is given. Raises a :class:`CollectionError`; the socket is closed then.
    """
    limit.step = f"waiting for the SSH banner of {target}"
    client = Client(target, limit)
    try:
        client.use_agent(credential)
        key = private_key(credential)
        client.connect(
            target.address,
            port=target.port,
            sock=sock,
            username=credential.username,
            password=_password(credential, key),
            pkey=key,
            allow_agent=bool(credential.agent),
            look_for_keys=False,
            timeout=limit.remaining_s,
            auth_timeout=limit.remaining_s,
            banner_timeout=min(target.connect_timeout_s, limit.remaining_s),
            disabled_algorithms=_disabled(target),
        )
    except Exception as error:  # noqa: BLE001 (raised anew in words; paramiko raises nearly anything)
        client.close()
        sock.close()
        limit.check()
        raise explain(error, target, credential, limit) from None
    return client


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
            username=target.ssh_user or credential.username + target.login_suffix,
            password=_password(credential, key),
            pkey=key,
            allow_agent=bool(credential.agent),
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
        connection.client.use_agent(credential)
        # After the driver's own choice: the FortiOS driver would allow nothing but slow, old key exchange.
        connection.disabled_algorithms = _disabled(target)
        connection.establish_connection()
    except Exception as error:  # noqa: BLE001 (raised anew in words; paramiko raises nearly anything)
        if connection is not None:
            connection.disconnect()
        sock.close()
        limit.check()
        raise explain(error, target, credential, limit) from None
    return connection


def private_key(credential: Credential) -> paramiko.PKey | None:
    """The credential's SSH key, or None when it has none or an agent has it. Raises :class:`CredentialUnusable`."""
    if not credential.key or credential.agent:
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


def explain(error: BaseException, target: Target, credential: Credential, limit: Limit) -> CollectionError:
    """Why a login failed, from what paramiko raised underneath netmiko's own exception."""
    cause = _root(error)
    where = str(target)
    if isinstance(cause, CollectionError):
        return cause
    if isinstance(cause, NothingInCommon):
        return _nothing_in_common(cause, target)
    if isinstance(cause, paramiko.AuthenticationException):
        return _refused(cause, where, credential)
    text = str(cause) or type(cause).__name__
    if "protocol banner" in text:
        return DeviceUnreachable(
            f"{where} accepted the connection but sent no SSH banner", "check that SSH listens on this port"
        )
    return DeviceUnreachable(f"{where} broke off while {limit.step}: {text}")


def _nothing_in_common(cause: NothingInCommon, target: Target) -> CollectionError:
    problem = f"{target} offers no {cause.title} that may be used, only {', '.join(cause.offered) or 'none'}"
    if not cause.is_legacy or target.legacy:
        return UnreachableForGood(problem, "not even the old ones that can be allowed; renew its SSH settings")
    place = f"in [jumps.{target.jump}]" if target.jump else "for the device or its group in the inventory"
    return UnreachableForGood(problem, f'set algorithms = "legacy" {place}, or renew its SSH settings')


def _password(credential: Credential, key: paramiko.PKey | None) -> str | None:
    return credential.password if credential.password or not (key or credential.agent) else None


def _disabled(target: Target) -> dict[str, tuple[str, ...]]:
    return {} if target.legacy else dict(LEGACY_ALGORITHMS)


def _refused(cause: paramiko.AuthenticationException, where: str, credential: Credential) -> CollectionError:
    if "timeout" in str(cause).lower():
        return SessionTimeout(f"{where} did not answer the login", "see whether its RADIUS or TACACS+ server is up")
    offered = "password" if credential.password else "agent's keys" if credential.agent else "key"
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
