"""Load the settings once; whoever needs them is handed the frozen result."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from devicevault.errors import ConfigurationError, Fault
from devicevault.names import is_group_name
from devicevault.settings import broker, timechain, ways
from devicevault.settings.schema import Settings
from devicevault.settings.sources import (
    CONFIG_VARIABLE,
    DEFAULT,
    NAMED,
    Key,
    Layer,
    Origin,
    from_document,
    from_environment,
    kind_of,
)
from devicevault.settings.words import in_words
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
    gathered.layer |= from_environment(variables, gathered.named, gathered.faults)
    settings = gathered.validated()
    if settings is None:
        raise ConfigurationError(_in_file_order(gathered.faults))
    origins = {dotted(key): value.origin for key, value in gathered.layer.items()}
    return LoadedSettings(settings, origins, tuple(gathered.files))


def config_path(path: Path | None = None) -> Path:
    """The settings file :func:`load_settings` reads first, whether it exists or not."""
    return path or Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


@dataclass
class _Gathered:
    """What the sources gave so far."""

    layer: Layer = field(default_factory=dict)
    #: Every ``[groups.NAME]``, ``[jumps.NAME]`` and ``[receivers.NAME]``, by its key.
    named: dict[Key, Origin] = field(default_factory=dict)
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
        self.named |= _named_in(document)

    def validated(self) -> Settings | None:
        """The settings, or ``None`` when there are faults."""
        wrong: set[Key] = set()
        settings: Settings | None = None
        try:
            settings = Settings.model_validate(_nested(self.named, self.layer))
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                key, fault = self._blamed(detail)
                self.faults.append(fault)
                wrong.add(key)
        origins = {key: value.origin for key, value in self.layer.items()}
        sound = settings or self._without(wrong)
        self.faults.extend(timechain.faults(sound, origins, wrong))
        self.faults.extend(broker.faults(sound, origins, wrong))
        self.faults.extend(ways.faults(sound, origins, self.named.keys()))
        return None if self.faults else settings

    def _without(self, wrong: set[Key]) -> Settings:
        """The settings as they would be without the wrong values, for the checks of how values fit together."""
        # Most tables with a name of their own are of no use without the values that are wrong: they are left out whole.
        useless = {key[:2] for key in wrong if key[0] in NAMED and key[0] != "groups"}
        named = [key for key in self.named if key not in wrong and is_group_name(key[1]) and key not in useless]
        rest = {
            key: value
            for key, value in self.layer.items()
            if key not in wrong and (key[0] not in NAMED or is_group_name(key[1])) and key[:2] not in useless
        }
        return Settings.model_validate(_nested(named, rest))

    def _blamed(self, detail: ErrorDetails) -> tuple[Key, Fault]:
        """The value an error is about: its location may lead into a list, or end at a group's name."""
        location = tuple(part for part in map(str, detail["loc"]) if part != "[key]")
        for key, value in self.layer.items():
            if key[: len(location)] == location or location[: len(key)] == key:
                return key, value.origin.fault(location, *in_words(detail, value.value, kind_of(key)))
        # Only a named table without settings of its own leaves no value to blame.
        return location, self.named[location[:2]].fault(location, *in_words(detail, None, None))


def _nested(named: Iterable[Key], layer: Layer) -> dict[str, Any]:
    """The values as the tables they stand for; a group without settings of its own is there too."""
    nested: dict[str, Any] = {kind: {} for kind in NAMED}
    for kind, name in named:
        nested[kind][name] = {}
    for key, value in layer.items():
        table = nested
        for part in key[:-1]:
            table = table.setdefault(part, {})
        table[key[-1]] = value.value
    return nested


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


def _named_in(document: TomlDocument) -> dict[Key, Origin]:
    return {
        (kind, name): Origin("file", str(document.path), document.line_of(kind, name))
        for kind in NAMED
        if isinstance(tables := document.data.get(kind), dict)
        for name in tables
    }
