"""``devicevault platforms``: the platform pages this host knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from devicevault.cli import examples, pass_settings
from devicevault.cli.console import print_json, print_table, table
from devicevault.errors import PlatformUnknown, UsageError
from devicevault.platforms import Platform, Platforms
from devicevault.platforms.describe import describe, first_read, markdown_table, whole_when
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
    short_help="Judge a page by a session or a configuration in a file.",
    epilog=examples(
        "devicevault platforms check core-sw1.toml                      a session kept by try --capture",
        "devicevault platforms check running-config.txt --platform cisco_ios",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--platform", "-p", "name", metavar="NAME", default="", help="The page; the recorded one otherwise.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def check(settings: Settings, file: Path, name: str, as_json: bool) -> None:
    """Judge a page by a session in a file: whether a collection would be a success, and what it would keep.

    FILE is a recorded session (TOML), as `devicevault platforms try --capture` writes it and docs/platform-pages.md
    describes, or a plain configuration; then the page has to be named. A recorded session is also cut at 20 places,
    to see whether the page finds each of them out. The exit code is 1 when one does not pass.
    """
    from devicevault.cli.trials import check_recording, check_text

    if not file.is_file():
        raise UsageError(f"{file}: there is no such file", "keep a session with `platforms try --capture`")
    if file.suffix == ".toml":
        check_recording(Platforms.load(settings.platforms_dir), file, name, as_json=as_json)
    elif name:
        check_text(_page(settings, name), file)
    else:
        raise UsageError(f"{file.name} does not say which platform it is of", "add --platform NAME")


@platforms.command(
    "try",
    short_help="Try a page on a device; nothing is stored.",
    epilog=examples(
        "devicevault platforms try core-sw1",
        "devicevault platforms try core-sw1 --platform cisco_xr",
        "devicevault platforms try core-sw1 --capture core-sw1.toml",
    ),
)
@click.argument("device")
@click.option("--platform", "-p", "name", metavar="NAME", default="", help="Another page than the inventory's.")
@click.option(
    "--capture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the session in this file, secrets hidden.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def try_(settings: Settings, device: str, name: str, capture: Path | None, as_json: bool) -> None:
    """Try a page on a device of the inventory, from this host and in one session. Nothing is stored.

    Shows the prompt, the time and size of each command's answer, what was left out and hidden, and whether the
    configuration was whole. The exit code is 1 when it was not.
    """
    from devicevault.cli.trials import try_one

    try_one(settings, device, name, capture, as_json=as_json)


def _page(settings: Settings, name: str) -> Platform:
    try:
        return Platforms.load(settings.platforms_dir).get(name)
    except PlatformUnknown as error:
        raise UsageError(error.problem, error.fix) from None


def _first_command(page: Platform) -> str:
    command = first_read(page).replace("`", "")
    return command if len(command) <= 48 else command[:45] + "…"


def _rows(page: Platform) -> Iterator[tuple[str, str]]:
    for label, value in describe(page).items():
        if isinstance(value, (list, tuple)):
            yield label.replace("_", " "), "\n".join(str(item) for item in value) or "none"
        else:
            yield label.replace("_", " "), str(value)
