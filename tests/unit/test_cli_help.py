"""What --help says can be typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from devicevault.cli import COMMANDS, load_command


def every_command(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from every_command(child, f"{path} {name}")


EVERY_COMMAND = {
    path: command for name in COMMANDS for path, command in every_command(load_command(name), f"devicevault {name}")
}
EXAMPLES = [
    (path, line.strip())
    for path, command in EVERY_COMMAND.items()
    for line in (command.epilog or "").splitlines()
    if line.startswith("  ")
]


@pytest.mark.parametrize(("path", "example"), EXAMPLES)
def test_an_example_is_of_its_command_and_parses(
    path: str, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "running-config.txt").touch()
    # What it does stands behind a gap; a shell takes the redirection away.
    typed = example.partition("     ")[0].partition(" >")[0]
    assert example.startswith(path)
    EVERY_COMMAND[path].make_context(path, shlex.split(typed.removeprefix(path)))


@pytest.mark.parametrize("path", [path for path, command in EVERY_COMMAND.items() if isinstance(command, click.Group)])
def test_a_list_of_commands_fits_80_columns_uncut(path: str) -> None:
    group = EVERY_COMMAND[path]
    text = group.get_help(click.Context(group, info_name=path, terminal_width=80))
    assert "..." not in text.partition("Commands:")[2]
