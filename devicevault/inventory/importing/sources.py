"""Devices of what may also be a source of the inventory: NetBox, CSV, Ansible, a running Oxidized."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

from devicevault.errors import Fault
from devicevault.inventory.importing import router_db
from devicevault.inventory.importing.gathered import Gathered, ImportFailed
from devicevault.inventory.known import Known
from devicevault.inventory.sources import declared
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.mapping import PLAIN
from devicevault.inventory.sources.text import Record

#: What a spreadsheet's heading calls a device's keys, besides their own names.
_HEADINGS: Final = {
    "name": ("hostname", "host", "host_name", "device"),
    "address": ("ip", "ip_address", "mgmt_ip", "management_ip", "primary_ip"),
    "platform": ("os", "device_type", "type", "model"),
}
#: Seconds; a person waits for it.
_TIMEOUT_S: Final = 90


def read_netbox(url: str, token_file: str, platforms: Collection[str]) -> Gathered:
    """Active devices with a primary address; their site's name is their group. Raises :class:`ImportFailed`."""
    token = {"token": {"file": token_file}} if token_file else {"token": {"env": "NETBOX_TOKEN"}}
    fields = {"group": "site.slug", "tags": ["tags.slug", "role.slug"]}
    return _read({"kind": "netbox", "url": url, **token, "fields": fields}, f"NetBox at {url}", platforms)


def read_oxidized(url: str, platforms: Collection[str]) -> Gathered:
    """The nodes that a running Oxidized lists in its REST interface. Raises :class:`ImportFailed`."""
    place = url if url.endswith(".json") else f"{url.rstrip('/')}/nodes.json"
    fields = {"name": "name", "address": "ip", "platform": "model", "group": "group"}
    gathered = _read({"kind": "http", "url": place, "fields": fields}, f"Oxidized at {url}", platforms)
    gathered.notes.append(
        "ports, telnet and old algorithms are not in this list, nor any login; Oxidized's settings file tells more"
    )
    return gathered


def read_ansible(path: str, platforms: Collection[str]) -> Gathered:
    """Hosts with their groups as tags. Raises :class:`ImportFailed`."""
    gathered = _read({"kind": "ansible", "path": path}, f"Ansible's {path}", platforms)
    gathered.notes.append("logins are not carried over: write credentials.toml by hand")
    return gathered


def read_csv(place: str, columns: Sequence[str], delimiter: str, platforms: Collection[str]) -> Gathered:
    """Rows of a file, or of one at a URL, with a heading or ``columns``. Raises :class:`ImportFailed`."""
    fields = {key: [key, *_HEADINGS.get(key, ())] for key in PLAIN}
    table: dict[str, Any] = {"format": "csv", "columns": list(columns), "fields": fields}
    if re.match(r"https?://", place):
        table |= {"kind": "http", "url": place, "delimiter": delimiter or ","}
    else:
        table |= {"kind": "file", "path": place}
        table["delimiter"] = delimiter or router_db.likely_delimiter(router_db.read_lines(Path(place)))
    gathered = _read(table, place, platforms, _folded)
    if gathered.records and not any("name" in record for record in gathered.records):
        raise ImportFailed(
            f"no column of {place} is called name", "name the columns, in order: --columns name,address,platform,-"
        )
    return gathered


def _folded(record: Record) -> Record:
    """The record as one whose heading was written in small letters, with ``_`` for blanks."""
    return {re.sub(r"[\s-]+", "_", str(key).strip()).casefold(): value for key, value in record.items()}


def _read(
    data: dict[str, Any],
    origin: str,
    platforms: Collection[str],
    taken: Callable[[Record], Record] = lambda record: record,
) -> Gathered:
    faults: list[Fault] = []
    source = declared(
        "import",
        {"timeout_s": _TIMEOUT_S, **data},
        Path.cwd(),
        Known(platforms, None, None),
        lambda key, problem, fix: Fault(key, problem, fix),
        faults,
    )
    if source is None:
        raise ImportFailed(faults[0].problem, faults[0].fix)
    try:
        records = source.table.ask(source.folder)
    except SourceFailed as failed:
        raise ImportFailed(f"{origin}: {failed.problem}", failed.fix) from None
    tables = [source.mapping.table(taken(record)) for record in records]
    return Gathered(origin, [table for table in tables if table is not None])
