"""The hosts of an Ansible inventory, read without Ansible.

Facts from Ansible's documentation (inventory guide; ansible.builtin.ini and ansible.builtin.yaml): what a variable is
worth for a host is decided by the groups from ``all`` downwards, then by the files in ``group_vars``, by the host's own
line, and last by ``host_vars``. Dynamic inventories are programs: ``kind = "command"`` reads what they print.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from devicevault.inventory.sources.ansible_groups import Groups, Variables
from devicevault.inventory.sources.ansible_ini import read_ini
from devicevault.inventory.sources.ansible_yaml import read_variables, read_yaml
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.file import read_file
from devicevault.inventory.sources.mapping import PREFIX, Fields
from devicevault.inventory.sources.table import DEVICE_KEYS, FilledText, SourceTable
from devicevault.inventory.sources.text import Record

#: Names of variables that may hold a secret; they are forgotten as soon as they are read.
_SECRETS: Final = re.compile(r"(?!devicevault_).*(pass|secret|token|vault|key)", re.IGNORECASE)
_TEMPLATE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_YAML: Final = frozenset({".yml", ".yaml", ".json"})
#: What Ansible passes over in a folder of inventories.
_NO_INVENTORY: Final = frozenset(
    {".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"}
)
_DEPTH: Final = 5

_FIELDS: Final[Fields] = {
    **{key: PREFIX + key for key in DEVICE_KEYS},
    "name": "inventory_hostname",
    "address": [f"{PREFIX}address", "ansible_host", "ansible_ssh_host"],
    "port": [f"{PREFIX}port", "ansible_port", "ansible_ssh_port"],
    "platform": [f"{PREFIX}platform", "ansible_network_os"],
    "tags": ["group_names", f"{PREFIX}tags"],
}


class AnsibleTable(SourceTable):
    """``kind = "ansible"``: an inventory in INI or YAML with its ``group_vars`` and ``host_vars``."""

    usual_fields: ClassVar[Fields] = _FIELDS

    kind: Literal["ansible"]
    #: A file, or a folder of files.
    path: FilledText
    #: Only these groups or hosts, or patterns of them; all when empty.
    limit: list[str] = Field(default=[])

    def ask(self, folder: Path) -> list[Record]:
        path = folder / self.path
        place = path if path.is_dir() else path.parent
        groups = Groups()
        for file in _inventory_files(path):
            text = read_file(file).decode(errors="replace")
            try:
                (read_yaml if _is_yaml(file, text) else read_ini)(text, groups)
            except SourceFailed as failed:
                raise SourceFailed(f"{file}: {failed.problem}", failed.fix) from None
        # Many hosts share the files of a few groups.
        variables_in = functools.cache(read_variables)
        records = [_record(host, groups, place, variables_in) for host in groups.hosts]
        return [record for record in records if self._is_wanted(record)]

    def _is_wanted(self, record: Record) -> bool:
        names = (record["inventory_hostname"], *record["group_names"])
        return not self.limit or any(fnmatch.fnmatchcase(name, one) for one in self.limit for name in names)


def _inventory_files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.iterdir()):
        if file.is_file() and file.suffix not in _NO_INVENTORY and not file.name.startswith("."):
            yield file


def _is_yaml(file: Path, text: str) -> bool:
    if file.suffix in _YAML:
        return True
    # A file without an ending may be either: INI has no line that begins with `all:` or `---`.
    return not file.suffix and re.search(r"^(---|\w+:\s*$)", text, re.MULTILINE) is not None


def _record(host: str, groups: Groups, place: Path, variables_in: Callable[[Path, str], Variables]) -> Record:
    """What all is known of a host, without its secrets."""
    order = groups.of_host(host)
    known: Variables = {}
    for group in order:
        known |= groups.variables.get(group, {})
    for group in order:
        known |= variables_in(place / "group_vars", group)
    known |= groups.hosts[host]
    known |= variables_in(place / "host_vars", host)
    known = {key: value for key, value in known.items() if not _SECRETS.match(str(key))}
    known["inventory_hostname"] = host
    record = {key: _filled_in(value, known, _DEPTH) for key, value in known.items()}
    return {**record, "group_names": [group for group in order if group not in ("all", "ungrouped")]}


def _filled_in(value: Any, known: Variables, depth: int) -> Any:
    """A value with the plain variables in it; what only Ansible could work out stays as it is, and is told then."""
    if not isinstance(value, str) or "{{" not in value or not depth:
        return value

    def put(found: re.Match[str]) -> str:
        inner = known.get(found[1])
        return str(_filled_in(inner, known, depth - 1)) if isinstance(inner, str | int) else found[0]

    return _TEMPLATE.sub(put, value)
