"""Load the settings once; whoever needs them is handed the frozen result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from devicevault.errors import ConfigurationError, Fault
from devicevault.nearest import did_you_mean
from devicevault.settings import timechain
from devicevault.settings.schema import Settings
from devicevault.settings.sources import (
    CONFIG_VARIABLE,
    DEFAULT,
    Layer,
    Origin,
    from_document,
    from_environment,
    kind_of,
)
from devicevault.tomlfile import TomlDocument, dotted, parse_toml, read_text

DEFAULT_CONFIG: Final = Path("/etc/devicevault/config.toml")


@dataclass(frozen=True)
class LoadedSettings:
    """The settings, with the files they were read from and the origin of each value that is not a default."""

    settings: Settings
    #: By dotted key, such as ``groups.dmz.ssh.deadline_s``.
    origins: dict[str, Origin]
    files: tuple[Path, ...] = ()

    def origin(self, key: str) -> Origin:
        """Where the value of this dotted key was set."""
        return self.origins.get(key, DEFAULT)


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings: defaults < ``path`` < drop-ins in ``config.d`` beside it < variables.

    ``path`` follows ``$DEVICEVAULT_CONFIG``, and is ``/etc/devicevault/config.toml`` otherwise, which need not exist.
    Raises :class:`ConfigurationError` with a fault for everything that is wrong.
    """
    return load_settings_with_origins(path, environ).settings


def load_settings_with_origins(path: Path | None = None, environ: Mapping[str, str] | None = None) -> LoadedSettings:
    """As :func:`load_settings`, with the origin of each value."""
    variables = os.environ if environ is None else environ
    gathered = _Gathered()
    gathered.read_files(path, variables)
    gathered.layer |= from_environment(variables, gathered.groups, gathered.faults)
    settings = gathered.validated()
    if settings is None:
        raise ConfigurationError(_in_file_order(gathered.faults))
    origins = {dotted(key): value.origin for key, value in gathered.layer.items()}
    return LoadedSettings(settings, origins, tuple(gathered.files))


@dataclass
class _Gathered:
    """What the sources gave so far."""

    layer: Layer = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    files: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def read_files(self, path: Path | None, variables: Mapping[str, str]) -> None:
        named = path or (Path(variables[CONFIG_VARIABLE]) if variables.get(CONFIG_VARIABLE) else None)
        config = named or DEFAULT_CONFIG
        if _may_exist(config):
            self._read(config)
        elif named is not None:
            fix = f"make one with `devicevault config sample > {named}`, or name another"
            source = str(path) if path else CONFIG_VARIABLE
            self.faults.append(Fault(source, f"there is no settings file {named}", fix))
        for file in self._drop_ins(config.parent / "config.d"):
            self._read(file)

    def _drop_ins(self, folder: Path) -> list[Path]:
        try:
            found = [path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.faults.append(Fault(str(folder), f"can't be listed: {error.strerror}"))
            return []
        return sorted(found)

    def _read(self, file: Path) -> None:
        try:
            document = parse_toml(file, read_text(file))
        except ConfigurationError as error:
            self.faults.extend(error.faults)
            return
        self.files.append(file)
        self.faults.extend(document.duplicates)
        self.layer |= from_document(document, self.faults)
        self.groups |= _groups_in(document)

    def validated(self) -> Settings | None:
        """The settings, or ``None`` when there are faults."""
        try:
            settings = Settings.model_validate(self._nested())
        except ValidationError as error:
            self.faults.extend(self._fault(detail) for detail in error.errors(include_url=False, include_input=False))
            return None
        self.faults.extend(timechain.faults(settings, {key: value.origin for key, value in self.layer.items()}))
        return None if self.faults else settings

    def _nested(self) -> dict[str, Any]:
        nested: dict[str, Any] = {"groups": {group: {} for group in self.groups}}
        for key, value in self.layer.items():
            table = nested
            for part in key[:-1]:
                table = table.setdefault(part, {})
            table[key[-1]] = value.value
        return nested

    def _fault(self, detail: ErrorDetails) -> Fault:
        location = tuple(part for part in map(str, detail["loc"]) if part != "[key]")
        # The location may lead into a list, or name a group's table: then the fault is told of what was set.
        for key, value in self.layer.items():
            if key[: len(location)] == location or location[: len(key)] == key:
                problem, fix = _in_words(detail, value.value, kind_of(key))
                return value.origin.fault(location, problem, fix)
        problem, fix = _in_words(detail, None, None)
        return Fault(str(self.files[-1]) if self.files else CONFIG_VARIABLE, problem, fix, dotted(location))


def _in_file_order(faults: list[Fault]) -> list[Fault]:
    sources = list(dict.fromkeys(fault.source for fault in faults))
    return sorted(faults, key=lambda fault: (sources.index(fault.source), fault.line or 0))


def _may_exist(file: Path) -> bool:
    # A file this user may not even look for is told as unreadable by whoever reads it.
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _groups_in(document: TomlDocument) -> set[str]:
    groups = document.data.get("groups")
    return {name for name, table in groups.items() if isinstance(table, dict)} if isinstance(groups, dict) else set()


#: What pydantic's kinds of error mean to the person who set the value.
_PROBLEMS: Final = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} character(s)",
    "literal_error": "must be {expected}",
}


def _in_words(detail: ErrorDetails, value: Any, kind: Any) -> tuple[str, str]:
    """The problem and the fix; never the value itself, except a number or a choice, which are no secrets."""
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        problem, _, fix = str(context["error"]).partition("; ")
        return problem, fix
    problem = _PROBLEMS.get(detail["type"], detail["msg"]).format(**context)
    if detail["type"] == "literal_error":
        return problem, did_you_mean(str(value), get_args(kind))
    if isinstance(value, int | float):
        problem += f", not {value}"
    return problem, ""
