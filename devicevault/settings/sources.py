"""Where settings come from: the file, its drop-ins, and the environment.

Each source is taken apart into single values that remember their origin, so that a later source wins key by
key and a fault can name the very line or variable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin

import tomli

from devicevault.errors import Fault
from devicevault.nearest import did_you_mean
from devicevault.settings.jump import JumpSettings
from devicevault.settings.schema import GroupSettings, ReceiverSettings, Settings
from devicevault.settings.table import Table
from devicevault.tomlfile import TomlDocument, dotted

PREFIX: Final = "DEVICEVAULT_"
SEPARATOR: Final = "__"
#: Names the settings file itself.
CONFIG_VARIABLE: Final = "DEVICEVAULT_CONFIG"
#: Names the pager of the command line.
PAGER_VARIABLE: Final = "DEVICEVAULT_PAGER"
NO_SETTINGS: Final = frozenset({CONFIG_VARIABLE, PAGER_VARIABLE})

#: Tables of tables with free names: ``[groups.NAME]``, ``[jumps.NAME]`` and ``[receivers.NAME]``.
NAMED: Final[Mapping[str, type[Table]]] = {
    "groups": GroupSettings,
    "jumps": JumpSettings,
    "receivers": ReceiverSettings,
}

Key = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value was set: a file (and line), or a variable; the default otherwise."""

    kind: Literal["default", "file", "variable"] = "default"
    source: str = "default"
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"

    def fault(self, key: Key, problem: str, fix: str = "") -> Fault:
        """A fault of the value set here. A variable's name is its key already."""
        return Fault(self.source, problem, fix, "" if self.kind == "variable" else dotted(key), self.line)


DEFAULT: Final = Origin()


@dataclass(frozen=True)
class Value:
    value: Any
    origin: Origin


Layer = dict[Key, Value]


def from_document(document: TomlDocument, faults: list[Fault]) -> Layer:
    """Every value of a settings file; unknown keys and misplaced tables are added to ``faults``."""
    layer: Layer = {}
    _take_table(Settings, document.data, (), document, layer, faults)
    return layer


def _take_table(
    kind: Any, data: Mapping[str, Any], path: Key, document: TomlDocument, layer: Layer, faults: list[Fault]
) -> None:
    for name, value in data.items():
        key = (*path, name)
        member = member_of(kind, name)
        if member is None:
            fix = _unknown_fix(name, path, members(kind) or {})
            faults.append(document.fault(key, "there is no such setting", fix))
        elif is_table(member) and isinstance(value, dict):
            _take_table(member, value, key, document, layer, faults)
        elif is_table(member):
            faults.append(document.fault(key, "is a table of settings, not a value", f"write [{dotted(key)}]"))
        else:
            layer[key] = Value(value, Origin("file", str(document.path), document.line_of(*key)))


def _unknown_fix(name: str, path: Key, known: Mapping[str, Any]) -> str:
    guess = did_you_mean(name, known)
    if guess:
        return guess
    homes = [dotted(key) for key in keys_of(Settings) if key[-1] == name and key[:-1] != path]
    return f"it belongs to {homes[0]}" if homes else f"known here: {', '.join(known)}"


def from_environment(environ: Mapping[str, str], named: Collection[Key], faults: list[Fault]) -> Layer:
    """Every value set by a ``DEVICEVAULT_`` variable; an empty variable counts as not set.

    ``named`` are the groups and jumps the files speak of: a variable's ``DMZ_2`` means the group ``dmz-2``
    where there is one, for a variable's name can't hold a hyphen.
    """
    layer: Layer = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in NO_SETTINGS or not environ[variable]:
            continue
        key = _key_of(variable, named)
        kind = kind_of(key) if key else None
        if kind is None:
            fix = did_you_mean(variable, known_variables(named)) or "see `devicevault config table` for the names"
            faults.append(Fault(variable, "there is no such setting", fix))
            continue
        value = _decoded(environ[variable], kind, variable, faults)
        if value is not None:
            layer[key] = Value(value, Origin("variable", variable))
    return layer


def _key_of(variable: str, named: Collection[Key]) -> Key:
    name = variable.removeprefix(PREFIX)
    if name != name.upper():
        return ()
    parts = name.lower().split(SEPARATOR)
    if parts[0] in NAMED and len(parts) > 1:
        known = sorted(name for kind, name in named if kind == parts[0] and name.replace("-", "_") == parts[1])
        parts[1] = parts[1] if parts[1] in known else next(iter(known), parts[1])
    return tuple(parts)


def _decoded(text: str, kind: Any, variable: str, faults: list[Fault]) -> Any:
    # Lists and tables are written as in the file; anything else is converted when it is validated.
    if get_origin(kind) not in (tuple, dict):
        return text
    try:
        return tomli.loads(f"value = {text}")["value"]
    except tomli.TOMLDecodeError:
        faults.append(
            Fault(variable, "is not a list or table in TOML", 'write it as in the file: ["name", "platform"]')
        )
        return None


def members(kind: Any) -> dict[str, Any] | None:
    """What each key of a table may hold; ``None`` where the keys are free, as the names of groups are."""
    if isinstance(kind, type) and issubclass(kind, Table):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return None


def member_of(kind: Any, name: str) -> Any:
    """What one key of a table holds; ``None`` when there is no such key."""
    known = members(kind)
    return get_args(kind)[1] if known is None else known.get(name)


def is_table(kind: Any) -> bool:
    """Whether values of this kind are tables of settings, merged key by key."""
    if get_origin(kind) is dict:
        return is_table(get_args(kind)[1])
    return isinstance(kind, type) and issubclass(kind, Table)


def kind_of(key: Key) -> Any:
    """What the setting of this key holds; ``None`` when there is none or it is a table."""
    kind: Any = Settings
    for part in key:
        if not is_table(kind):
            return None
        kind = member_of(kind, part)
    return None if is_table(kind) else kind


def keys_of(kind: Any, path: Key = ()) -> Iterator[Key]:
    """The key of every setting, in the order of declaration, without those of groups."""
    for name, member in (members(kind) or {}).items():
        if is_table(member):
            yield from keys_of(member, (*path, name))
        else:
            yield (*path, name)


def known_variables(named: Collection[Key]) -> list[str]:
    """The names of all variables that would be understood."""
    own = (key for kind, name in sorted(named) for key in keys_of(NAMED[kind], (kind, name)))
    return [*sorted(NO_SETTINGS), *(variable_of(key) for key in (*keys_of(Settings), *own))]


def variable_of(key: Key) -> str:
    """The variable that sets this key."""
    return PREFIX + SEPARATOR.join(key).upper().replace("-", "_")
