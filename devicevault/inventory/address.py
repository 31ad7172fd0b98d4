"""What can be a device's address: IPv4, IPv6, or a host name."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from devicevault.inventory.unfit import Unfit

#: RFC 1123, and the underscore that many networks use all the same.
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_NUMERIC: Final = re.compile(r"[0-9.]+")
_MAX_HOST_NAME: Final = 253


def checked_address(text: str) -> str:
    """``text`` when a session could go there. Raises :class:`Unfit` otherwise."""
    if "/" in text:
        _refuse(text)
    elif ":" in text:
        _check_ipv6(text)
    elif _NUMERIC.fullmatch(text):
        _check_ipv4(text)
    elif len(text) > _MAX_HOST_NAME or not _HOST_NAME.fullmatch(text):
        _refuse(text)
    return text


def _check_ipv4(text: str) -> None:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        raise Unfit(f"{text!r} is not an IPv4 address", "four numbers from 0 to 255, without leading zeros") from None


def _check_ipv6(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        host, _, port = text.rpartition(":")
        if text.startswith("["):
            raise Unfit(
                f"{text!r} has brackets", "write the IPv6 address bare, and the port as a key of its own"
            ) from None
        if ":" not in host and port.isdigit():
            raise Unfit(f"{text!r} has a port in it", f'write address = "{host}" and port = {port}') from None
        raise Unfit(f"{text!r} is not an IPv6 address", "check its groups") from None


def _refuse(text: str) -> None:
    if "/" in text:
        raise Unfit(f"{text!r} is a network or a URL", "write the device's own address or host name")
    raise Unfit(f"{text!r} is neither an IP address nor a host name", "letters, digits, hyphens and dots")
