"""Settings read anew by a daemon that runs: what may change under it, and what must wait for a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from devicevault.errors import ConfigurationError
from devicevault.settings import timechain
from devicevault.settings.schema import Settings


@dataclass(frozen=True)
class Renewal:
    """New settings with the old values of what can't change without a restart."""

    settings: Settings
    #: Dotted keys that have a new value now.
    changed: tuple[str, ...]
    #: Those whose new value waits for a restart.
    waiting: tuple[str, ...]


def renewal(old: Settings, new: Settings, fixed: Collection[str]) -> Renewal:
    """What ``new`` changes in a daemon that runs with ``old``; ``fixed`` keys (dotted) keep their values.

    Raises :class:`ConfigurationError` when the new values do not go together with the kept ones.
    """
    differing = sorted(_differing(old, new, ""))
    waiting = tuple(key for key in differing if key in fixed)
    kept = new
    for key in waiting:
        kept = _with(kept, key.split("."), _value(old, key))
    if faults := timechain.faults(kept, {}):
        raise ConfigurationError(faults)
    return Renewal(kept, tuple(key for key in differing if key not in fixed), waiting)


def _differing(old: BaseModel, new: BaseModel, prefix: str) -> Iterator[str]:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, BaseModel):
            yield from _differing(before, after, f"{prefix}{name}.")
        elif before != after:
            yield prefix + name


def _value(settings: BaseModel, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _with(settings: Settings, names: list[str], value: Any) -> Settings:
    """A copy with one value, at most one table deep, changed."""
    table, *rest = names
    update = getattr(settings, table).model_copy(update={rest[0]: value}) if rest else value
    return settings.model_copy(update={table: update})
