"""Groups, hosts and their variables, as an Ansible inventory builds them up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, TypeAlias

from devicevault.inventory.sources.failed import SourceFailed

Variables: TypeAlias = dict[str, Any]

_RANGE: Final = re.compile(r"\[(\w+):(\w+)(?::(\d+))?\]")
_MAX_HOSTS: Final = 200_000


class Groups:
    """What the files of one inventory say together."""

    def __init__(self) -> None:
        self.hosts: dict[str, Variables] = {}
        self.variables: dict[str, Variables] = {}
        self._members: dict[str, set[str]] = {}
        self._parents: dict[str, set[str]] = {}

    def add_group(self, group: str) -> None:
        self._members.setdefault(group, set())

    def add_host(self, host: str, group: str, variables: Variables) -> None:
        """Put every host a pattern stands for into a group."""
        self.add_group(group)
        for name in expanded(host):
            if len(self.hosts) >= _MAX_HOSTS:
                raise SourceFailed(f"it stands for more than {_MAX_HOSTS} hosts")
            self.hosts.setdefault(name, {}).update(variables)
            self._members[group].add(name)

    def add_child(self, child: str, parent: str) -> None:
        self.add_group(child)
        self.add_group(parent)
        self._parents.setdefault(child, set()).add(parent)

    def add_variables(self, group: str, variables: Variables) -> None:
        self.add_group(group)
        self.variables.setdefault(group, {}).update(variables)

    def of_host(self, host: str) -> list[str]:
        """The groups a host is in, from ``all`` to the narrowest: later ones count more."""
        depths: dict[str, int] = {"all": 0}
        own = [group for group, members in self._members.items() if host in members and group != "all"]
        for group in own:
            self._climb(group, depths, ())
        return sorted(depths, key=lambda group: (depths[group], self._priority(group), group))

    def _priority(self, group: str) -> int:
        told = self.variables.get(group, {}).get("ansible_group_priority", 1)
        return told if isinstance(told, int) else 1

    def _climb(self, group: str, depths: dict[str, int], below: tuple[str, ...]) -> int:
        """The depth of a group under ``all``, and of all groups above it."""
        if group in below:
            raise SourceFailed(f"group {group!r} is a child of itself")
        if group == "all":
            return 0
        above = [self._climb(parent, depths, (*below, group)) for parent in sorted(self._parents.get(group, ()))]
        depths[group] = 1 + max(above, default=0)
        return depths[group]


def expanded(pattern: str) -> Iterator[str]:
    """Every name that ``www[01:50:2].example.net`` or ``db-[a:f]`` stands for."""
    if "[" not in pattern:
        yield pattern
        return
    pieces = _RANGE.split(pattern)
    # The pattern's captures stand between the texts: text, first, last, step, text, ...
    ranges = [_range(*pieces[n : n + 3]) for n in range(1, len(pieces), 4)]
    texts = pieces[0::4]
    for chosen in product(*ranges):
        yield "".join(text + word for text, word in zip(texts, (*chosen, ""), strict=True))


def _range(first: str, last: str, step: str | None) -> list[str]:
    stride = int(step or 1) or 1
    if first.isdecimal() and last.isdecimal() and int(last) - int(first) < _MAX_HOSTS:
        width = len(first) if first.startswith("0") else 0
        return [str(number).zfill(width) for number in range(int(first), int(last) + 1, stride)]
    if len(first) == len(last) == 1 and first.isalpha() and last.isalpha():
        return [chr(code) for code in range(ord(first), ord(last) + 1, stride)]
    raise SourceFailed(f"[{first}:{last}] is no range of hosts")
