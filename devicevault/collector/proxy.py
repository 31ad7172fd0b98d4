"""Asking a proxy for a connection: SOCKS5 (RFC 1928, with a password by RFC 1929) and HTTP CONNECT (RFC 9110, 9.3.6).

Both leave the socket as it is: what follows on it is the other side's own. So not one byte more is read than the
proxy's answer has; an SSH server speaks first.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import struct
from typing import Final

from devicevault.collector.deadline import Limit
from devicevault.collector.tcp import Target
from devicevault.credentials import Credential
from devicevault.errors import AuthenticationFailed, CredentialUnusable, DeviceUnreachable, UnreachableForGood

_SOCKS: Final = 5
_NO_PASSWORD: Final = 0
_PASSWORD: Final = 2
_NONE_WILL_DO: Final = 0xFF
#: Address types of SOCKS5, and what follows each.
_IPV4, _NAME, _IPV6 = 1, 3, 4
_REFUSALS: Final = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "it can't connect",
    8: "it does not know this kind of address",
}
#: An IP address or a host name.
_ADDRESS: Final = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")
_HEADER_MAX: Final = 16384
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) ?([^\r\n]{0,80})")


class Proxy:
    """One proxy that was connected to, and is asked once."""

    def __init__(self, sock: socket.socket, proxy: Target, credential: Credential | None, limit: Limit) -> None:
        self._sock = sock
        self._proxy = proxy
        self._credential = credential
        self._limit = limit
        self._ends_s = proxy.connect_timeout_s

    def ask(self, kind: str, target: Target) -> None:
        """From now on the socket leads to the target. ``kind`` is ``socks5`` or ``http``.

        Raises :class:`DeviceUnreachable` when the proxy can't or won't, :class:`AuthenticationFailed` when it refuses
        the credential, :class:`CredentialUnusable` when it wants one. The socket is to be closed then.
        """
        self._limit.step = f"asking {self._proxy} for a connection to {target}"
        # It stands in a line of text there: nothing else may come with it.
        if not _ADDRESS.fullmatch(target.address):
            raise UnreachableForGood(f"{target.address[:60]!r} is no address", "correct it in the inventory")
        try:
            if kind == "socks5":
                self._greet()
                self._ask_socks(target)
            else:
                self._ask_http(target)
        except TimeoutError:
            self._limit.check()
            raise DeviceUnreachable(
                f"{self._proxy} did not connect to {target} within {self._ends_s:g} s",
                "see that the device answers and that the proxy may reach it",
            ) from None
        except OSError as error:
            self._limit.check()
            raise DeviceUnreachable(f"{self._proxy} broke off while it was asked for {target}: {error}") from None

    def _greet(self) -> None:
        methods = [_NO_PASSWORD, *([_PASSWORD] if self._credential else [])]
        self._send(bytes([_SOCKS, len(methods), *methods]))
        version, method = self._receive(2)
        if version != _SOCKS:
            raise DeviceUnreachable(f"{self._proxy} is no SOCKS5 proxy", "check its port, and `kind` in [jumps]")
        if method == _PASSWORD and self._credential:
            self._send_password(self._credential)
        elif method == _NONE_WILL_DO and not self._credential:
            raise CredentialUnusable(f"{self._proxy} wants a credential", "give the jump a credential")
        elif method != _NO_PASSWORD:
            raise AuthenticationFailed(f"{self._proxy} takes no password", "use a proxy that does")

    def _send_password(self, credential: Credential) -> None:
        name, password = credential.username.encode(), credential.password.encode()
        if not (0 < len(name) < 256 and len(password) < 256):
            raise CredentialUnusable(f"credential {credential.name!r} is too long for SOCKS5", "use at most 255 bytes")
        self._send(b"\x01" + bytes([len(name)]) + name + bytes([len(password)]) + password)
        if self._receive(2)[1] != 0:
            raise self._refused(credential)

    def _ask_socks(self, target: Target) -> None:
        self._send(bytes([_SOCKS, 1, 0]) + _socks_address(target.address) + struct.pack(">H", target.port))
        _, reply, _, kind = self._receive(4)
        self._receive({_IPV4: 4, _IPV6: 16}.get(kind) or self._receive(1)[0])
        self._receive(2)
        if reply != 0:
            raise DeviceUnreachable(
                f"{self._proxy} could not connect to {target}: {_REFUSALS.get(reply, f'reply {reply}')}",
                "check the device's address and port, and what the proxy allows",
            )

    def _ask_http(self, target: Target) -> None:
        host = f"[{target.address}]" if ":" in target.address else target.address
        lines = [f"CONNECT {host}:{target.port} HTTP/1.1", f"Host: {host}:{target.port}"]
        if self._credential:
            login = f"{self._credential.username}:{self._credential.password}".encode()
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(login).decode()}")
        self._send("\r\n".join([*lines, "", ""]).encode())
        status = _STATUS.match(self._header())
        if status is None:
            raise DeviceUnreachable(f"{self._proxy} is no HTTP proxy", "check its port, and `kind` in [jumps]")
        if status[1] == b"407":
            if self._credential:
                raise self._refused(self._credential)
            raise CredentialUnusable(f"{self._proxy} wants a credential", "give the jump a credential")
        if not status[1].startswith(b"2"):
            said = f"{status[1].decode()} {status[2].decode('latin-1')}".strip()
            raise DeviceUnreachable(
                f"{self._proxy} could not connect to {target}: {said}",
                "check the device's address and port, and what the proxy allows (SSH is rarely among it)",
            )

    def _header(self) -> bytes:
        header = b""
        while not header.endswith((b"\r\n\r\n", b"\n\n")):
            if len(header) > _HEADER_MAX:
                break
            header += self._receive(1)
        return header

    def _refused(self, credential: Credential) -> AuthenticationFailed:
        return AuthenticationFailed(
            f"{self._proxy} refused user {credential.username!r} of credential {credential.name!r}",
            "check the credential in the worker's credentials file and the account on the proxy",
        )

    def _send(self, data: bytes) -> None:
        self._sock.settimeout(self._patience_s())
        self._sock.sendall(data)

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self._sock.settimeout(self._patience_s())
            if not (piece := self._sock.recv(size - len(data))):
                raise ConnectionError("the connection was closed")
            data += piece
        return data

    def _patience_s(self) -> float:
        return max(0.001, min(self._ends_s, self._limit.remaining_s))


def _socks_address(address: str) -> bytes:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return bytes([_NAME, len(address)]) + address.encode()
    return bytes([_IPV4 if ip.version == 4 else _IPV6]) + ip.packed
