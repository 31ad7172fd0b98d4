"""TLS to a device: its certificate is always checked, against authorities or against a fingerprint."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from devicevault.errors import CollectionError, HostKeyRefused, UnreachableForGood

_FINGERPRINT: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
#: Settings of a page's ``[plugin]`` and options of a device that say whom to trust.
KEYS: Final = ("ca_file", "fingerprint", "server_name")
_FIX: Final = (
    "compare the fingerprint with the device's own and set it as `fingerprint` in the device's options, or name the "
    "authority's file as `ca_file`"
)


@dataclass(frozen=True)
class Trust:
    """Whom to take for the device."""

    #: The name or address its certificate must be for.
    server_name: str
    #: A file in PEM on the worker's host, with the authority that signed it, besides those the system knows.
    ca_file: str = ""
    #: SHA-256 of its certificate in hexadecimal digits: nothing else is asked then.
    fingerprint: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, Any], options: Mapping[str, Any], address: str) -> Trust:
        """From a page's settings and, before them, a device's options. Raises :class:`UnreachableForGood`."""
        said = {key: str(options.get(key) or settings.get(key) or "") for key in KEYS}
        fingerprint = said["fingerprint"].lower().replace(":", "").removeprefix("sha256")
        if said["fingerprint"] and not _FINGERPRINT.fullmatch(fingerprint):
            raise UnreachableForGood(
                f"{said['fingerprint']!r} is no fingerprint", "write sha256: and 64 hexadecimal digits"
            )
        return cls(said["server_name"] or address, said["ca_file"], fingerprint)


def secured(
    sock: socket.socket, trust: Trust, where: str, *, legacy: bool, again: Callable[[], socket.socket]
) -> ssl.SSLSocket:
    """TLS over a connected socket; ``again`` connects once more, to tell the fingerprint of whom is not trusted.

    Raises :class:`HostKeyRefused`, and what sockets and TLS raise.
    """
    sock.settimeout(None)
    if trust.fingerprint:
        secure = _unchecked(legacy).wrap_socket(sock, server_hostname=trust.server_name)
        if (seen := fingerprint_of(secure)) != f"sha256:{trust.fingerprint}":
            secure.close()
            raise HostKeyRefused(
                f"the certificate of {where} has the fingerprint {seen}, and sha256:{trust.fingerprint} is expected",
                "find out why it changed before you change `fingerprint`",
            )
        return secure
    try:
        return _checked(trust, legacy).wrap_socket(sock, server_hostname=trust.server_name)
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(error, where, trust, legacy, again) from None


def fingerprint_of(secure: ssl.SSLSocket) -> str:
    """``sha256:HEX`` of the other side's certificate."""
    return "sha256:" + hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()


def _untrusted(
    error: ssl.SSLCertVerificationError, where: str, trust: Trust, legacy: bool, again: Callable[[], socket.socket]
) -> HostKeyRefused:
    sock = again()
    sock.settimeout(None)
    # Nothing is sent over this one.
    with _unchecked(legacy).wrap_socket(sock, server_hostname=trust.server_name) as secure:
        seen = fingerprint_of(secure)
    return HostKeyRefused(f"the certificate of {where} is not trusted ({error.verify_message}): {seen}", _FIX)


def _checked(trust: Trust, legacy: bool) -> ssl.SSLContext:
    context = _old(ssl.create_default_context(), legacy)
    if trust.ca_file:
        try:
            context.load_verify_locations(trust.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CollectionError(
                f"ca_file {trust.ca_file} can't be used: {getattr(error, 'strerror', None) or error}",
                "it must be a file in PEM on the worker's host that the worker may read",
            ) from None
    return context


def _unchecked(legacy: bool) -> ssl.SSLContext:
    """For a certificate that is compared as a whole."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _old(context, legacy)


def _old(context: ssl.SSLContext, legacy: bool) -> ssl.SSLContext:
    if legacy:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
