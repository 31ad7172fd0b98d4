"""Whether every jump that is named has a table ``[jumps.NAME]``, once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from devicevault.errors import Fault
from devicevault.nearest import did_you_mean
from devicevault.settings.schema import Settings
from devicevault.settings.sources import DEFAULT, Key, Origin


def faults(settings: Settings, origins: Mapping[Key, Origin], named: Collection[Key]) -> list[Fault]:
    """A fault for each way that names a jump there is no table of, in general or in a group.

    ``named`` are the tables there are, also those with something wrong in them.
    """
    known = {*settings.jumps, *(name for kind, name in named if kind == "jumps")}
    ways: dict[Key, tuple[str, ...]] = {("ssh", "jump"): settings.ssh.jump}
    ways |= {("groups", name, "ssh", "jump"): group.ssh.jump for name, group in settings.groups.items()}
    return [
        origins.get(key, DEFAULT).fault(key, problem, fix)
        for key, way in ways.items()
        for problem, fix in _of(way, known)
    ]


def _of(way: tuple[str, ...], known: Collection[str]) -> list[tuple[str, str]]:
    unknown = [
        (f"names the jump {name!r}, and there is none", did_you_mean(name, known) or f"add a table [jumps.{name}]")
        for name in dict.fromkeys(way)
        if name not in known
    ]
    twice = [
        (f"passes through {name!r} twice", "name each jump once") for name in dict.fromkeys(way) if way.count(name) > 1
    ]
    return unknown + twice
