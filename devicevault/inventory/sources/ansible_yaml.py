"""Ansible's YAML inventories, and the files of variables beside an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from devicevault.inventory.sources.ansible_groups import Groups, Variables
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.file import read_file
from devicevault.inventory.sources.text import from_yaml

#: What ``ansible-vault`` writes; it stays closed to us.
_ENCRYPTED: Final = b"$ANSIBLE_VAULT;"
_KEYS: Final = ("hosts", "vars", "children")
_DEPTH: Final = 50


def read_yaml(text: str, groups: Groups) -> None:
    """Add what the text says to ``groups``. Raises :class:`SourceFailed`."""
    data = from_yaml(text)
    if not isinstance(data, dict) or not data:
        raise SourceFailed("a YAML inventory begins with the name of a group, such as all:")
    for group, body in data.items():
        _take_group(str(group), body, groups, 0)


def _take_group(group: str, body: Any, groups: Groups, depth: int) -> None:
    groups.add_group(group)
    table = _table(body, f"group {group!r}")
    if depth > _DEPTH or table.keys() - set(_KEYS):
        raise SourceFailed(f"group {group!r} has other keys than hosts, vars and children")
    groups.add_variables(group, _table(table.get("vars"), f"vars of {group!r}"))
    for host, variables in _table(table.get("hosts"), f"hosts of {group!r}").items():
        groups.add_host(str(host), group, _table(variables, f"host {host!r}"))
    for child, child_body in _table(table.get("children"), f"children of {group!r}").items():
        groups.add_child(str(child), group)
        _take_group(str(child), child_body, groups, depth + 1)


def read_variables(folder: Path, name: str) -> Variables:
    """What ``group_vars`` or ``host_vars`` has for a group or a host: ``NAME``, ``NAME.yml``, or files in ``NAME/``.

    An encrypted file says nothing. Raises :class:`SourceFailed` for one that can't be read.
    """
    if "/" in name or name.startswith("."):
        return {}
    found: Variables = {}
    for file in (folder / name, folder / f"{name}.yml", folder / f"{name}.yaml", folder / f"{name}.json"):
        for one in sorted(file.iterdir()) if file.is_dir() else [file] if file.is_file() else []:
            found |= _variables_of(one)
    return found


def _variables_of(file: Path) -> Variables:
    raw = read_file(file) if file.is_file() else b""
    if raw.startswith(_ENCRYPTED):
        return {}
    try:
        return _table(from_yaml(raw.decode(errors="replace")), "the file")
    except SourceFailed as failed:
        raise SourceFailed(f"{file}: {failed.problem}", failed.fix) from None


def _table(data: Any, what: str) -> dict[Any, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SourceFailed(f"{what} is no table", "a key stands before each value, with a colon")
    return data
