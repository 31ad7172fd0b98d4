"""``devicevault doctor``: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from devicevault.cli import current_config_path
from devicevault.cli.console import console, print_json, visible
from devicevault.errors import ConfigurationError

if TYPE_CHECKING:
    from devicevault.doctor import Finding

STYLES: Final = {"ok": "green", "warning": "yellow", "fault": "bold red", "unknown": "dim"}
#: Columns before what is said of a link.
MARGIN: Final = 8


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Walk the whole chain of a collection and tell what to do about each fault.

    Exit code 0 without a fault, 78 when something is set wrongly, 75 when a service is away, 1 for anything else,
    such as a queue without a worker. Warnings count as no fault.
    """
    from devicevault.doctor import exit_code

    findings = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([_described(finding) for finding in findings])
    ctx.exit(exit_code(findings))


def _findings() -> Iterator[Finding]:
    from devicevault.doctor import Finding, examine
    from devicevault.doctor.finding import faults_of
    from devicevault.settings import load_settings_with_origins

    try:
        loaded = load_settings_with_origins(current_config_path())
    except ConfigurationError as error:
        yield from faults_of("settings", error)
        yield Finding.unknown("everything else", "not looked at before the settings are right")
        return
    files = ", ".join(map(str, loaded.files)) or "defaults only, there is no config.toml"
    yield Finding.ok("settings", files)
    yield from examine(loaded.settings)


def _print(finding: Finding) -> None:
    from rich.text import Text

    out = console()
    # On a terminal the lines after the first are indented as it is; into a file or a pipe there is but one.
    room = out.width - MARGIN if out.is_terminal else sys.maxsize
    margin = Text(f"{finding.state:<{MARGIN}}", style=STYLES[finding.state])
    for sentence in filter(None, (f"{finding.check}: {finding.text}", finding.fix and f"→ {finding.fix}")):
        for line in Text(visible(sentence)).wrap(out, max(room, 1)):
            line.rstrip()
            out.print(margin, line, sep="", soft_wrap=True)
            margin = Text(" " * MARGIN)


def _described(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "state": finding.state.value, "text": finding.text, "fix": finding.fix}
