"""What is told about the settings, all from their declaration: sample file, tables in the docs, ``config show``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from devicevault.settings.load import LoadedSettings
from devicevault.settings.masking import MASK, mask_passwords
from devicevault.settings.schema import Settings
from devicevault.settings.sources import NAMED, Key, Origin, keys_of, member_of, variable_of
from devicevault.tomlfile import dotted

#: The settings most installations touch: these stand in the README, all of them in docs/configuration.md.
MAIN_TABLES: Final[Mapping[str, tuple[str, ...]]] = {"worker": ("concurrency",), "ssh": ("deadline_s",)}

EXAMPLE_GROUP: Final = "dmz"
EXAMPLE_JUMP: Final = "bastion"
EXAMPLE_RECEIVER: Final = "noc"
#: What a jump host or a receiver needs and no default can tell.
NEEDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "jumps": {"address": "bastion.example.net", "credential": "bastion"},
    "receivers": {"apprise": {"file": "/etc/devicevault/noc.url"}},
}

SAMPLE_HEAD: Final = """\
# DeviceVault's settings. Each key stands here with its default; remove the # before it to change it.
#
# Files in config.d/*.toml beside this one are merged over it, in the order of their names, and variables
# go over both: worker.concurrency is DEVICEVAULT_WORKER__CONCURRENCY. After a change:
#
#   devicevault config check     is everything right?
#   devicevault config show      what counts, and where it was set
"""

GROUPS_HEAD: Final = f"""\
# What one collector group does differently, here the group {EXAMPLE_GROUP}; a key left out follows the tables above.
# As a variable: {variable_of(("groups", EXAMPLE_GROUP, "worker", "concurrency"))}.
"""

JUMPS_HEAD: Final = f"""\
# A jump host or proxy, here one called {EXAMPLE_JUMP}: ssh.jump, of a group or of all, and `jump` of a device name it.
# Its address and credential have no default.
"""

RECEIVERS_HEAD: Final = f"""\
# Who gets notices, here one called {EXAMPLE_RECEIVER}: either `apprise` or `command` says how it is reached.
"""


@dataclass(frozen=True)
class Shown:
    """One setting as ``config show`` tells it, its secrets masked."""

    key: str
    value: Any
    origin: Origin
    variable: str


def sample() -> str:
    """The commented settings file."""
    blocks = [SAMPLE_HEAD]
    tables: dict[str, list[str]] = {}
    for key in keys_of(Settings):
        described = f"# {described_field(key)}\n#{key[-1]} = {toml_value(default_of(key))}\n"
        tables.setdefault(key[0] if len(key) > 1 else "", []).append(described)
    blocks += tables.pop("")
    for name, settings in tables.items():
        blocks.append(f"# {first_line(Settings.model_fields[name].annotation)}\n[{name}]\n" + "\n".join(settings))
    blocks.append(GROUPS_HEAD + "".join(_sample_of("groups", EXAMPLE_GROUP)))
    blocks.append(JUMPS_HEAD + "".join(_sample_of("jumps", EXAMPLE_JUMP, described=True)))
    blocks.append(RECEIVERS_HEAD + "".join(_sample_of("receivers", EXAMPLE_RECEIVER, described=True)))
    return "\n".join(blocks)


def _sample_of(kind: str, name: str, *, described: bool = False) -> Iterator[str]:
    yield f"#[{kind}.{name}]\n"
    for key in keys_of(NAMED[kind]):
        whole = (kind, name, *key)
        if described:
            yield f"# {described_field(whole)}\n"
        value = NEEDED.get(kind, {}).get(key[-1], default_of(whole))
        yield f"#{dotted(key)} = {toml_value(value)}\n"


def markdown_table(*, main: bool = False) -> str:
    """The table of all settings, or of the main ones, for the docs."""
    lines = ["| key | variable | default | meaning |", "|---|---|---|---|"]
    for key in keys_of(Settings):
        if main and len(key) > 1 and key[-1] not in MAIN_TABLES.get(key[0], ()):
            continue
        name = key[0] if len(key) == 1 else f"[{'.'.join(key[:-1])}] {key[-1]}"
        meaning = described_field(key).replace("|", "\\|")
        lines.append(f"| `{name}` | `{variable_of(key)}` | `{toml_value(default_of(key))}` | {meaning} |")
    return "\n".join(lines) + "\n"


def shown(loaded: LoadedSettings, group: str = "") -> list[Shown]:
    """Every setting with its value and origin; with a group, the values that count there."""
    settings = loaded.settings.for_group(group) if group else loaded.settings
    rows = []
    for key in keys_of(Settings):
        origin = loaded.origins.get(dotted(("groups", group, *key))) or loaded.origin(dotted(key))
        rows.append(Shown(dotted(key), masked(value_of(settings, key)), origin, variable_of(key)))
    return rows if group else rows + _shown_named(loaded)


def _shown_named(loaded: LoadedSettings) -> list[Shown]:
    """Only what groups, jumps and receivers set: the rest follows the general settings, or has its default."""
    keys = (
        (kind, name, *key) for kind in NAMED for name in getattr(loaded.settings, kind) for key in keys_of(NAMED[kind])
    )
    return [
        Shown(dotted(key), masked(value_of(loaded.settings, key)), loaded.origins[dotted(key)], variable_of(key))
        for key in keys
        if dotted(key) in loaded.origins
    ]


def masked(value: Any) -> Any:
    """``value`` ready for JSON, a secret and the password inside a URL as asterisks."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, str):
        return mask_passwords(value)
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def is_secret(value: Any) -> bool:
    """Whether something of this value would be masked."""
    return isinstance(value, str | SecretStr) and masked(value) != (value if isinstance(value, str) else "")


def value_of(settings: Settings, key: Key) -> Any:
    """The value of a setting by its key."""
    value: Any = settings
    for part in key:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def field_of(key: Key) -> FieldInfo:
    """The declaration of a setting."""
    table: Any = Settings
    for part in key[:-1]:
        table = member_of(table, part)
    field: FieldInfo = table.model_fields[key[-1]]
    return field


def default_of(key: Key) -> Any:
    """The default of a setting."""
    return field_of(key).get_default(call_default_factory=True, validated_data={})


def described_field(key: Key) -> str:
    """What a setting means, and what it may be."""
    field = field_of(key)
    return f"{field.description} {allowed}" if (allowed := _allowed(field)) else str(field.description)


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return f"One of {', '.join(toml_value(choice) for choice in get_args(field.annotation))}."
    limits = {name: getattr(bound, name) for bound in field.metadata for name in ("ge", "le") if hasattr(bound, name)}
    return f"From {limits['ge']} to {limits['le']}." if len(limits) == 2 else ""


def first_line(table: Any) -> str:
    """What a table is about."""
    return str(table.__doc__).partition("\n")[0]


def toml_value(value: Any) -> str:
    """A value as it is written in the file."""
    value = masked(value) if isinstance(value, SecretStr | Path) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.15g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{dotted((name,))} = {toml_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _toml_list(value)
    return json.dumps(value, ensure_ascii=False)


def _toml_list(items: Iterable[Any]) -> str:
    return "[" + ", ".join(toml_value(item) for item in items) + "]"
