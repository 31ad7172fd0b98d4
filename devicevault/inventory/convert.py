"""Values as other programs write them, turned into those that an entry takes; what makes no sense is left as it is."""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

#: RANCID collects what is ``up``, NetBox calls it ``active``; whatever else stands there is a reason not to.
_ENABLED: Final = frozenset({"up", "true", "yes", "on", "1", "enabled", "active"})

#: In place of jump hosts: none, whatever the group's settings say.
STRAIGHT: Final = "-"
#: What a column or a field begins with that holds one option: ``options.files``.
OPTION: Final = "options."


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


def to_word(value: Any) -> Any:
    """A word that a program may write in capitals."""
    return value.strip().casefold() if isinstance(value, str) else value


def to_names(value: Any) -> Any:
    """The names in a text with commas between them, in order, or of a list."""
    if not isinstance(value, str):
        return value
    return [name for part in value.split(",") if (name := part.strip())]


def to_jumps(value: Any) -> Any:
    """As :func:`to_names`; ``-`` alone stands for no jump host at all."""
    named = to_names(value)
    if named == [STRAIGHT]:
        return []
    return None if named == [] else named


def to_option(value: Any) -> Any:
    """An option in a text: ``true``, a number, a list or a table as JSON writes them; any other text is itself."""
    if not isinstance(value, str):
        return value
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if said is None or (isinstance(said, float) and not math.isfinite(said)) else said


def to_entry(key: str, value: Any) -> Any:
    """The value of a device's key as an entry takes it."""
    convert = to_option if key.startswith(OPTION) else _CONVERT.get(key)
    return convert(value) if convert else value


def with_options(table: dict[str, Any]) -> dict[str, Any]:
    """The table with each ``options.NAME`` put into its ``options``."""
    single = {key.removeprefix(OPTION): value for key, value in table.items() if key.startswith(OPTION)}
    whole = table.get("options", {})
    if not single or not isinstance(whole, dict):
        return table
    kept = {key: value for key, value in table.items() if not key.startswith(OPTION)}
    return {**kept, "options": {**whole, **single}}


_CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": to_text,
    "address": to_address,
    "port": to_port,
    "platform": to_text,
    "group": to_text,
    "credential": to_names,
    "enabled": to_enabled,
    "tags": to_tags,
    "options": to_option,
    "algorithms": to_word,
    "deadline_s": to_seconds,
    "jump": to_jumps,
    "transport": to_word,
    "id": to_text,
}
