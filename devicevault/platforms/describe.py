"""Platform pages in words, for the command line and the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from devicevault.platforms.page import Completeness, Platform

_TRANSFERRED: Final = "as many bytes came as were told, or two readings agree"


def describe(page: Platform) -> dict[str, Any]:
    """What a page does, JSON-ready."""
    return {
        "name": page.name,
        "title": page.title,
        "vendor": page.vendor,
        "driver": page.session.driver,
        "plugin": page.plugin.name if page.plugin else "",
        "commands": [command for source in page.artifacts for command in (*source.commands, *source.ask)],
        "pager_off": list(page.session.pager_off),
        "facts_from": [source.asked or "the configuration" for source in page.facts],
        "whole_when": whole_when(page),
        "left_out": [pattern.pattern for pattern in page.volatile],
        "tells_of_changes": [pattern.pattern for pattern in page.change_messages],
        "hidden": [rule.pattern.pattern for rule in page.secrets],
        "sources": list(page.sources),
        "rules_digest": page.digest,
    }


def whole_when(page: Platform) -> str:
    """What proves a configuration of this platform whole."""
    if page.kind == "noop":
        return "always: no device is asked"
    if page.plugin:
        return ", ".join((*_criteria(page.complete.model_copy(update={"read_twice": False})), _TRANSFERRED))
    return ", ".join(_criteria(page.complete))


def first_read(page: Platform) -> str:
    """What is read first, in one line, for tables of all pages."""
    return "nothing" if page.kind == "noop" else next(iter(_reads(page)))


def markdown_table(pages: Iterable[Platform]) -> str:
    """The table of ``docs/platforms.md``."""
    lines = ["| platform | devices | reads | silences the pager with | whole when |", "|---|---|---|---|---|"]
    for page in pages:
        is_noop = page.kind == "noop"
        reads = "nothing" if is_noop else "<br>".join(_reads(page))
        silence = ", ".join(f"`{command}`" for command in page.session.pager_off) or "nothing"
        cells = (f"`{page.name}`", page.title, reads, silence, whole_when(page))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def plain(expression: str) -> str:
    """An end mark's expression as the text it stands for."""
    return expression.removesuffix(r"\Z").removeprefix("^").removeprefix(" *")


def _criteria(complete: Completeness) -> Iterable[str]:
    if complete.ends_with:
        yield f"it ends with `{plain(complete.ends_with.pattern)}`"
    if complete.balanced:
        yield f"every `{complete.balanced[0]}` is closed"
    if complete.blocks:
        yield "every block is closed"
    if complete.must_not_have:
        yield "nothing is kept back"
    if complete.mark:
        yield f"it ends with `{plain(complete.mark.pattern)}`, a mark the device is made to write"
    if complete.count_with:
        yield "it has as many lines as the device counts"
    if complete.read_twice:
        yield "or else two readings agree" if complete.mark or complete.count_with else "two readings agree"


def _reads(page: Platform) -> Iterable[str]:
    """The first command of each artifact, by its name where it is not the first."""
    by = f"{page.plugin.name}: " if page.plugin else ""
    for number, artifact in enumerate(page.artifacts):
        first = next(iter((*artifact.commands, *artifact.ask)), "")
        reads = f"`{_shortened(first)}`" if first else "what the device's options name"
        yield by + (f"{artifact.name}: " if number else "") + reads


def _shortened(command: str) -> str:
    return command if len(command) <= 60 else command[:57] + "…"
