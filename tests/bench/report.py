"""The figures as a table on the terminal, as JSON, and in a page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.figures import Figure, Part


def table(part: Part) -> Table:
    """For the terminal."""
    made = Table(title=part.title, caption=f"{part.how}. Beside: {part.beside}", title_justify="left")
    made.add_column("what")
    for column in ("DeviceVault", "beside", "ratio"):
        made.add_column(column, justify="right")
    made.add_column("aim")
    for figure in part.figures:
        style = "" if figure.is_met else "bold red"
        made.add_row(*_cells(figure), style=style)
    return made


def as_json(part: Part) -> dict[str, Any]:
    """For programs."""
    told = asdict(part)
    for figure, values in zip(part.figures, told["figures"], strict=True):
        values |= {"ratio": figure.ratio, "is_met": figure.is_met}
    return told


def write_into(page: Path, part: Part, machine: Mapping[str, str], command: str) -> None:
    """Put the part between its marks in the page. Raises ValueError for a page without them."""
    begin, end = f"<!-- {part.name}: written by make bench -->", f"<!-- {part.name} ends -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} has no place for {part.name}: add lines {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n{markdown(part, machine, command)}{end}{after}")


def markdown(part: Part, machine: Mapping[str, str], command: str) -> str:
    """For the page."""
    lines = [
        "",
        f"{part.how}. Beside: {part.beside}.",
        "",
        "| what | DeviceVault | beside | ratio | aim |",
        "|---|---:|---:|---:|---|",
        *("| " + " | ".join(_cells(figure)) + " |" for figure in part.figures),
        "",
        f"`{command}` on {', '.join(machine[name] for name in ('when', 'machine', 'system'))}.",
        f"DeviceVault {machine['devicevault']}; Python {machine['python']}; {machine['libraries']};",
        f"{machine['servers']}.",
        "",
    ]
    return "\n".join(lines)


def _cells(figure: Figure) -> tuple[str, str, str, str, str]:
    other = f"{_number(figure.other)} {figure.unit}" if figure.other else ""
    ratio = f"{figure.ratio:.2f}" if figure.ratio else ""
    aim = figure.aim and f"{figure.aim}{'' if figure.is_met else ': missed'}"
    return figure.what, f"{_number(figure.ours)} {figure.unit}", other, ratio, aim


def _number(value: float) -> str:
    """Three digits that tell something."""
    if value >= 1000:
        return f"{value:,.0f}"
    shown = f"{value:.{max(0, 3 - len(str(int(value))))}f}" if value >= 1 else f"{value:.3f}"
    return re.sub(r"(\.\d*?)0+$", r"\1", shown).rstrip(".") if "." in shown else shown
