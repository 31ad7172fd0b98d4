"""Values as other programs write them, turned into those that an entry takes; what makes no sense is left as it is."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

#: RANCID collects what is ``up``, NetBox calls it ``active``; whatever else stands there is a reason not to.
_ENABLED: Final = frozenset({"up", "true", "yes", "on", "1", "enabled", "active"})


def to_port(value: Any) -> Any:
    """A whole number, also one written as text."""
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= 5 else value


def to_enabled(value: Any) -> Any:
    """Whether a word or a number stands for a device that is in use."""
    if isinstance(value, str):
        return value.casefold() in _ENABLED
    return bool(value) if value in (0, 1) else value


def to_tags(value: Any) -> Any:
    """The words of a text with blanks or commas between them, or of a list."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def to_seconds(value: Any) -> Any:
    """A number, also one written as text or as a database's decimal."""
    if isinstance(value, bool | int | float | None):
        return value
    try:
        return float(value)
    except (TypeError, ValueError, ArithmeticError):
        return value


def to_text(value: Any) -> Any:
    """Text, also of a number or of what a database's driver makes of an address."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | ipaddress._BaseAddress | ipaddress._BaseNetwork):
        return value
    return str(value)


def to_address(value: Any) -> Any:
    """An address without the length of its network."""
    text = to_text(value)
    if isinstance(text, str) and "/" in text:
        try:
            return str(ipaddress.ip_interface(text).ip)
        except ValueError:
            return text
    return text
