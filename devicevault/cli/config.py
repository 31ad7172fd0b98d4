"""``devicevault config``: what the settings are, where each was set, and whether they are right."""

from __future__ import annotations

import stat
from collections.abc import Iterator

import click

from devicevault.cli import current_config_path, examples
from devicevault.cli.console import console, errors, print_json, print_table, say, table
from devicevault.errors import UsageError
from devicevault.names import is_group_name
from devicevault.settings import LoadedSettings, document, load_settings_with_origins


@click.group()
def config() -> None:
    """Check and show the settings.

    Variables go over config.d/*.toml, these over config.toml, and that over the defaults.
    """


@config.command(short_help="Check the settings.")
def check() -> None:
    """Check the settings: files, variables, and that they fit together."""
    loaded = _loaded()
    for warning in _warnings(loaded):
        say(errors(), f"warning: {warning}", "yellow")
    for file in loaded.files:
        console().print(f"{file}: ok", soft_wrap=True)
    variables = sorted({origin.source for origin in loaded.origins.values() if origin.kind == "variable"})
    for variable in variables:
        console().print(f"{variable}: ok", soft_wrap=True)
    if not loaded.files and not variables:
        console().print("no settings file and no variables: everything has its default")


@config.command(
    short_help="Show each setting, and where it was set.",
    epilog=examples("devicevault config show --changed", "devicevault config show --group dmz"),
)
@click.option("--group", default="", metavar="NAME", help="What counts in this collector group.")
@click.option("--changed", is_flag=True, help="Only what is not a default.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def show(group: str, changed: bool, as_json: bool) -> None:
    """Show every setting with its value, secrets masked, and where it was set."""
    loaded = _loaded()
    if group and not is_group_name(group):
        raise UsageError(f"{group!r} can't be a group's name", "use small letters and digits, as in dmz or branch-2")
    if group and group not in loaded.settings.groups:
        errors().print(f"group {group} changes nothing: the general settings count", style="yellow")
    rows = [row for row in document.shown(loaded, group) if not changed or row.origin.kind != "default"]
    if as_json:
        print_json(
            [{"key": row.key, "value": row.value, "origin": str(row.origin), "variable": row.variable} for row in rows]
        )
        return
    if not rows:
        console().print("no setting was changed: everything has its default")
        return
    grid = table("Setting", "Value", "Set in")
    for row in rows:
        style = "dim" if row.origin.kind == "default" else ""
        grid.add_row(row.key, document.toml_value(row.value), str(row.origin), style=style)
    print_table(grid)


@config.command(
    short_help="Print a settings file that explains itself.",
    epilog=examples("devicevault config sample > /etc/devicevault/config.toml"),
)
def sample() -> None:
    """Print a settings file that explains itself, each key at its default."""
    click.echo(document.sample(), nl=False)


@config.command("table", short_help="Print all settings in Markdown.")
@click.option("--main", is_flag=True, help="Only the settings most installations touch.")
def print_markdown(main: bool) -> None:
    """Print all settings as a table in Markdown."""
    click.echo(document.markdown_table(main=main), nl=False)


def _loaded() -> LoadedSettings:
    return load_settings_with_origins(current_config_path())


def _warnings(loaded: LoadedSettings) -> Iterator[str]:
    """A file that holds a password ought not to be readable for everyone on the host."""
    for file in loaded.files:
        if _holds_secret(loaded, str(file)) and file.stat().st_mode & stat.S_IROTH:
            yield f"{file}: holds a password and everyone can read it; chmod o= {file}"


def _holds_secret(loaded: LoadedSettings, source: str) -> bool:
    keys = (tuple(key.split(".")) for key, origin in loaded.origins.items() if origin.source == source)
    return any(document.is_secret(document.value_of(loaded.settings, key)) for key in keys)
