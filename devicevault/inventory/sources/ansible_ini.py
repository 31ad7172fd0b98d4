"""Ansible's INI inventories: ``[group]``, ``[group:children]`` and ``[group:vars]``."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from typing import Any, Final

from devicevault.inventory.sources.ansible_groups import Groups, Variables
from devicevault.inventory.sources.failed import SourceFailed

_SECTION: Final = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:[#;].*)?")
#: A port behind the name, but not the colon of an IPv6 address or of a range.
_PORT: Final = re.compile(r"([^:\[\]]+(?:\[[^\]]*\][^:\[\]]*)*):(\d+)")


def read_ini(text: str, groups: Groups) -> None:
    """Add what the text says to ``groups``. Raises :class:`SourceFailed` with the line."""
    group, take = "ungrouped", _TAKERS["hosts"]
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        try:
            if stripped.startswith("[") and (section := _SECTION.fullmatch(stripped)):
                group, take = section[1], _TAKERS[section[2] or "hosts"]
                groups.add_group(group)
            else:
                take(stripped, group, groups)
        except KeyError:
            raise SourceFailed(f"line {number}: a section is [GROUP], [GROUP:children] or [GROUP:vars]") from None
        except SourceFailed as failed:
            raise SourceFailed(f"line {number}: {failed.problem}", failed.fix) from None


def _take_host(line: str, group: str, groups: Groups) -> None:
    try:
        host, *words = shlex.split(line, comments=True)
    except ValueError as error:
        raise SourceFailed(f"can't be read: {error}") from None
    variables: Variables = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise SourceFailed("behind a host stand variables, as NAME=VALUE", "put a value with blanks in quotes")
        variables[key] = _value(value)
    if with_port := _PORT.fullmatch(host):
        host = with_port[1]
        variables = {"ansible_port": int(with_port[2]), **variables}
    groups.add_host(host, group, variables)


def _take_child(line: str, group: str, groups: Groups) -> None:
    groups.add_child(line.split("#", 1)[0].strip(), group)


def _take_variable(line: str, group: str, groups: Groups) -> None:
    key, equals, value = line.partition("=")
    if not equals:
        raise SourceFailed("a variable is written as NAME = VALUE")
    groups.add_variables(group, {key.strip(): _value(value.split(" #", 1)[0].strip())})


def _value(text: str) -> Any:
    """A Python literal where it is one, as Ansible reads it; text otherwise."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


_TAKERS: Final[dict[str, Callable[[str, str, Groups], None]]] = {
    "hosts": _take_host,
    "children": _take_child,
    "vars": _take_variable,
}
