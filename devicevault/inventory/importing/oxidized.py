"""Oxidized's devices: of its settings file, or of a ``router.db`` alone.

Facts from Oxidized's documentation (docs/Sources.md, docs/Configuration.md): ``source.csv`` has ``file``,
``delimiter`` (a Ruby expression), ``map`` (a device's key to a column's number) and ``vars_map``; ``model_map`` and
``group_map`` rename, with a word or a Ruby expression; logins stand at the top, in ``groups``, in ``models`` and in
columns. ``source.jsonfile`` has keys where CSV has numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from devicevault.inventory import foreign
from devicevault.inventory.convert import to_address, to_port
from devicevault.inventory.importing import router_db
from devicevault.inventory.importing.gathered import Gathered, ImportFailed
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.text import at_path, from_json

#: Oxidized's keys of a device, and ours.
_KEYS: Final = {"name": "name", "ip": "address", "model": "platform", "group": "group"}
_LOGIN: Final = ("username", "password")
_OLD_ALGORITHMS: Final = ("ssh_kex", "ssh_host_key", "ssh_hmac", "ssh_encryption")
_NOTHING: Final = ("", "nil", None)
_RUBY: Final = re.compile(r"/(.*)/([a-z]*)")


class _Loader(yaml.SafeLoader):
    """YAML with Ruby's expressions in it."""


_Loader.add_constructor("!ruby/regexp", lambda _, node: _expression(str(node.value)))
_Loader.add_multi_constructor("!", lambda *_: None)


def read(path: Path, columns: Sequence[str] = (), delimiter: str = "") -> Gathered:
    """What there is to carry over. ``columns`` and ``delimiter`` are for a ``router.db``, and guessed otherwise.

    Raises :class:`ImportFailed`.
    """
    settings = _settings(path) if not columns else None
    if settings is not None:
        return _of_settings(path, settings)
    lines = router_db.read_lines(path)
    rows = router_db.split(lines, delimiter or router_db.likely_delimiter(lines))
    taken = list(columns) or router_db.likely_columns(rows, {*foreign.PLATFORMS, *foreign.PLATFORMS.values()})
    gathered = Gathered(f"Oxidized's {path}")
    for row in rows:
        record = {column: cell for column, cell in zip(taken, row, strict=False) if column != "-" and cell}
        gathered.records.append({**record, "port": to_port(record["port"])} if "port" in record else record)
    gathered.notes.append(f"the columns of {path} were taken for: {', '.join(taken)}; --columns says it otherwise")
    if "-" in taken:
        gathered.notes.append("columns that may hold users and passwords were not read: write credentials.toml by hand")
    return gathered


def _settings(path: Path) -> dict[str, Any] | None:
    """The settings, or ``None`` for a file that is none, such as a ``router.db``."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8", errors="replace"), Loader=_Loader)  # noqa: S506 - a safe one
    except OSError as error:
        raise ImportFailed(f"{path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("source"), dict) else None


def _of_settings(path: Path, settings: dict[str, Any]) -> Gathered:
    source = settings["source"]
    kind = source.get("default") or next((name for name in ("csv", "jsonfile") if name in source), "csv")
    table = _table(source.get(kind))
    gathered = Gathered(f"Oxidized's {path}")
    if kind == "csv":
        nodes = list(_of_csv(path, table))
    elif kind == "jsonfile":
        nodes = list(_of_json(path, table))
    else:
        raise ImportFailed(
            f"this Oxidized asks a source of kind {kind!r} for its devices",
            "let DeviceVault ask it too: [sources.NAME] in devices.toml (docs/inventory.md)",
        )
    models, groups = _table(settings.get("model_map")), _table(settings.get("group_map"))
    for node in nodes:
        record = {ours: node[theirs] for theirs, ours in _KEYS.items() if node.get(theirs) not in _NOTHING}
        record["platform"] = _mapped(str(record.get("platform", settings.get("model") or "")), models)
        if "group" in record:
            record["group"] = _mapped(str(record["group"]), groups)
        record["address"] = to_address(record.get("address"))
        if node.get("ssh_port") not in _NOTHING:
            record["port"] = to_port(node["ssh_port"])
        if any(node.get(key) not in _NOTHING for key in _OLD_ALGORITHMS):
            record["algorithms"] = "legacy"
        if _is_telnet(node):
            record["transport"] = "telnet"
            record["port"] = to_port(node.get("telnet_port"))
        gathered.records.append(record)
    gathered.groups_with_login = {str(name) for name, one in _table(settings.get("groups")).items() if _has_login(one)}
    gathered.notes += [*_notes_on_logins(path, settings, nodes), *_notes_on_the_rest(settings, nodes)]
    return gathered


def _of_csv(path: Path, table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if table.get("gpg"):
        raise ImportFailed("its router.db is encrypted with GnuPG", "decrypt it, and import the file that comes out")
    lines = router_db.read_lines(_beside(path, str(table.get("file") or "router.db")))
    places = {**_table(table.get("map") or {"name": 0, "model": 1}), **_table(table.get("vars_map"))}
    for row in router_db.split(lines, table.get("delimiter") or ":"):
        yield {key: row[n] for key, n in places.items() if isinstance(n, int) and n < len(row)}


def _of_json(path: Path, table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    file = _beside(path, str(table.get("file") or "router.json"))
    try:
        data = from_json(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, SourceFailed) as error:
        raise ImportFailed(f"{file} can't be read: {error}") from None
    if table.get("hosts_location"):
        data = at_path(data, str(table["hosts_location"]))
    places = {**_table(table.get("map")), **_table(table.get("vars_map"))}
    for node in data if isinstance(data, list) else []:
        yield {key: at_path(node, str(place)) for key, place in places.items()}


def _beside(settings: Path, named: str) -> Path:
    """The file the settings name; where it is not there, as on another host, the one of its name beside them."""
    file = Path(named).expanduser()
    return file if file.is_file() else settings.parent / file.name


def _notes_on_logins(path: Path, settings: dict[str, Any], nodes: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    places = [key for key in _LOGIN if settings.get(key)]
    places += ["vars.enable"] if _table(settings.get("vars")).get("enable") else []
    for kind in ("groups", "models", "nodes"):
        places += [f"{kind}.{name}" for name, one in _table(settings.get(kind)).items() if _has_login(one)]
    if places:
        yield f"logins are not carried over; in {path} they stand in: {', '.join(places)}"
    columns = sorted({key for node in nodes for key in (*_LOGIN, "enable") if node.get(key) not in _NOTHING})
    if columns:
        yield f"devices have logins of their own ({', '.join(columns)}), which are not carried over"
    if places or columns:
        yield "write credentials.toml by hand: the credential 'default' is for every device that names none"


def _notes_on_the_rest(settings: dict[str, Any], nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    telnet = [str(node.get("name")) for node in nodes if _is_telnet(node)]
    if telnet:
        yield f"reached by telnet as before, though everybody on the way can read the password: {', '.join(telnet)}"
    taken = {*_KEYS, *_LOGIN, *_OLD_ALGORITHMS, "input", "ssh_port", "telnet_port", "enable"}
    others = {key for node in nodes for key, value in node.items() if value not in _NOTHING} - taken
    others |= set(_variables(settings))
    for kind in ("groups", "models"):
        for name, one in _table(settings.get(kind)).items():
            others |= {f"{kind}.{name}.{key}" for key in _variables(_table(one))}
    if others:
        yield f"not carried over: {', '.join(sorted(others))}"


def _variables(table: Mapping[Any, Any]) -> Iterator[str]:
    yield from (f"vars.{key}" for key in _table(table.get("vars")) if key != "enable")


def _is_telnet(node: Mapping[str, Any]) -> bool:
    """Whether nothing but telnet is tried."""
    return str(node.get("input", "")).strip() == "telnet"


def _has_login(table: Any) -> bool:
    one = _table(table)
    return any(one.get(key) for key in _LOGIN) or bool(_table(one.get("vars")).get("enable"))


def _mapped(word: str, names: Mapping[Any, Any]) -> str:
    if word in names:
        return str(names[word])
    fitting = (name for key, name in names.items() if isinstance(key, re.Pattern) and key.search(word))
    return str(next(fitting, word))


def _expression(text: str) -> re.Pattern[str] | str:
    """A Ruby expression; where it is one sign alone, that sign."""
    found = _RUBY.fullmatch(text.strip())
    source = found[1] if found else text
    if len(source.removeprefix("\\")) == 1:
        return source.removeprefix("\\")
    try:
        return re.compile(source, re.IGNORECASE if found and "i" in found[2] else 0)
    except re.error:
        return source


def _table(data: Any) -> dict[Any, Any]:
    return data if isinstance(data, dict) else {}
