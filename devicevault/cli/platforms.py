"""``devicevault platforms``: the platform pages this host knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import print_json, print_table, table
from devicevault.errors import PlatformUnknown, UsageError
from devicevault.platforms import Platform, Platforms
from devicevault.platforms.describe import describe, markdown_table, whole_when
from devicevault.settings import Settings


@click.group()
def platforms() -> None:
    """List and show the platforms known.

    A platform is a page of TOML, in the package or in the folder `platforms_dir` of the settings.
    """


@platforms.command("list", short_help="List every platform.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.option("--markdown", "as_markdown", is_flag=True, help="As the table of docs/platforms.md.")
@pass_settings
def list_(settings: Settings, as_json: bool, as_markdown: bool) -> None:
    """List every platform, its command, and what proves its configuration whole."""
    known = Platforms.load(settings.platforms_dir)
    if as_json:
        print_json([describe(page) for page in known])
    elif as_markdown:
        click.echo(markdown_table(known), nl=False)
    else:
        grid = table("Platform", "Devices", "Reads", "Whole when")
        for page in known:
            grid.add_row(page.name, page.title, _first_command(page), whole_when(page))
        print_table(grid)


@platforms.command(short_help="Show all that one platform's page does.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def show(settings: Settings, name: str, as_json: bool) -> None:
    """Show one platform: what is typed, what proves a configuration whole, what is left out and hidden."""
    page = _page(settings, name)
    if as_json:
        print_json(describe(page))
        return
    grid = table("", page.name)
    for label, text in _rows(page):
        grid.add_row(label, text)
    print_table(grid)


@platforms.command(
    "try",
    short_help="Try a page on a configuration in a file.",
    epilog=examples("devicevault platforms try cisco_ios running-config.txt"),
)
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_settings
def try_(settings: Settings, name: str, file: Path) -> None:
    """Try a page on a configuration in a file: tell whether it is whole, and print it as it would be kept."""
    # Late: the rules are not needed to list pages.
    from devicevault.collector.completeness import judge
    from devicevault.collector.normalise import normalise
    from devicevault.collector.text import decode

    page = _page(settings, name)
    text = decode(file.read_bytes()).replace("\r\n", "\n")
    proof = judge(page, text)
    normalised = normalise(page, text)
    click.echo(normalised.text, nl=False)
    twice = "reading it twice is left to a session" if page.complete.read_twice else ""
    told = ", ".join(filter(None, (proof, twice, f"secrets hidden: {normalised.redacted}")))
    click.echo(f"whole: {told}", err=True)


def _page(settings: Settings, name: str) -> Platform:
    try:
        return Platforms.load(settings.platforms_dir).get(name)
    except PlatformUnknown as error:
        raise UsageError(error.problem, error.fix) from None


def _first_command(page: Platform) -> str:
    command = page.artifacts[0].commands[0] if page.kind == "cli" else "nothing"
    return command if len(command) <= 48 else command[:45] + "…"


def _rows(page: Platform) -> Iterator[tuple[str, str]]:
    for label, value in describe(page).items():
        if isinstance(value, (list, tuple)):
            yield label.replace("_", " "), "\n".join(str(item) for item in value) or "none"
        else:
            yield label.replace("_", " "), str(value)
