"""Whatever stands in the file and the variables: settings, or faults in words that show no value."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from devicevault.errors import ConfigurationError
from devicevault.settings import JumpSettings, Settings, load_settings
from devicevault.settings.document import toml_value
from devicevault.settings.schema import GroupSettings
from devicevault.settings.sources import Key, keys_of, variable_of
from devicevault.tomlfile import dotted

CANARY = "canary"

GROUP_KEYS = [("groups", group, *key) for group in ("dmz", "b-2", "BAD") for key in keys_of(GroupSettings)]
JUMP_KEYS = [("jumps", jump, *key) for jump in ("bastion", "b-2", "BAD") for key in keys_of(JumpSettings)]
TABLES: list[Key] = [
    ("worker",),
    ("groups",),
    ("groups", "dmz"),
    ("groups", "dmz", "ssh"),
    ("jumps",),
    ("jumps", "x"),
    ("worker", "drain_s", "x"),
]
#: Without names of the inventory's columns and of jumps: they are no secrets, and an error says which is wrong.
KEYS = [
    key
    for key in [*keys_of(Settings), *GROUP_KEYS, *JUMP_KEYS, *TABLES, ("unknown",)]
    if key[0] != "inventory" and key[-1] != "jump"
]

TEXTS = st.sampled_from(
    [
        f"redis://:{CANARY}@host/1",
        f"redis://:{CANARY}@host/x",
        f"amqp://user:{CANARY}/@host:x//",
        f"postgresql://user:{CANARY}@[::1/db",
        f"sqlite:///{CANARY}",
        CANARY,
        f"/{CANARY}",
        "",
        "\N{SNOWMAN}\x7f",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.booleans() | st.integers() | st.floats(), lambda inner: st.lists(inner, max_size=2), max_leaves=3
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=3),
    st.dictionaries(st.sampled_from(KEYS).map(variable_of), TEXTS | st.integers().map(str), max_size=3),
)
def test_nothing_but_faults_without_values_comes_of_bad_settings(
    statements: list[tuple[Key, Any]], variables: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text("".join(f"{dotted(key)} = {toml_value(value)}\n" for key, value in statements))
        outcome = outcome_of(path, variables)
    if isinstance(outcome, ConfigurationError):
        assert outcome.faults
        assert all(fault.source in {str(path), *variables} for fault in outcome.faults)
        assert CANARY not in str(outcome) + repr(outcome)


def outcome_of(path: Path, variables: dict[str, str]) -> Settings | ConfigurationError:
    try:
        return load_settings(path, variables)
    except ConfigurationError as error:
        return error
