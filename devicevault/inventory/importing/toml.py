"""A plan as the text of a ``devices.toml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devicevault.inventory.importing.plan import Plan
from devicevault.settings.document import toml_value
from devicevault.tomlfile import dotted


def as_toml(plan: Plan) -> str:
    """The inventory; what was left out stands in it as comments."""
    blocks = [f"# From {_line(plan.origin)}. After a change: devicevault devices check\n"]
    blocks += [_block(("groups", group), table) for group, table in plan.groups.items()]
    blocks += [_block(("devices", name), table) for name, table in plan.devices.items()]
    if plan.left_out:
        blocks.append("# Left out; mend what is said and remove the #.\n")
    for one in plan.left_out:
        block = _block(("devices", one.name), one.table)
        blocks.append(f"# {_line(one.reason)}\n" + "".join(f"#{line}\n" for line in block.splitlines()))
    return "\n".join(blocks)


def _block(keys: tuple[str, ...], table: Mapping[str, Any]) -> str:
    return "".join(_lines(keys, table))


def _lines(keys: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{dotted(keys)}]\n"
    for key, value in table.items():
        yield f"{key} = {toml_value(value)}\n"


def _line(text: str) -> str:
    """Text of another program that can't leave the comment it stands in."""
    return " ".join(part for part in text.split() if part.isprintable())
