"""``devicevault join``: make another host a worker of this vault."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from devicevault.cli import current_config_path, pass_settings
from devicevault.cli.console import console, say
from devicevault.errors import UsageError
from devicevault.names import is_group_name
from devicevault.settings import Settings

FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def join() -> None:
    """Make another host a worker of this vault.

    The vault writes a file, the worker's host installs it: addresses, accounts and keys that seal, never the private
    key. The devices' passwords are not in it; they belong into the worker's own credentials.toml.
    """


@join.command(short_help="Write the file, on the vault.")
@click.option("--group", required=True, help="The collector group of the worker.")
@click.option("--broker-url", default="", metavar="URL", help="The broker as the worker reaches it, without a user.")
@click.option("--redis-url", default="", metavar="URL", help="Redis as the worker reaches it, without a user.")
@click.option("--authority", type=FILE, help="Certificate of the authority that vouches for both, where TLS is used.")
@click.option("--output", type=FILE, help="Where to write it; GROUP.join otherwise.")
@pass_settings
def export(
    settings: Settings, group: str, broker_url: str, redis_url: str, authority: Path | None, output: Path | None
) -> None:
    """Write a file with what a worker of GROUP needs, and with new passwords for its accounts."""
    from devicevault.join import export as export_for

    if not is_group_name(group):
        raise UsageError(f"{group!r} can't be a group's name", "use small letters and digits, as in dmz or branch-2")
    path = output or Path(f"{group}.join")
    export_for(settings, group, broker_url=broker_url, redis_url=redis_url, authority=authority).write(path)
    say(
        console(),
        f"wrote {path}; it holds passwords: carry it to the worker's host by a safe way, and delete it afterwards\n"
        f"make the worker's accounts on broker and Redis:  devicevault join accounts {path} | sh\n"
        f"on the worker's host, as root:                   devicevault join import {path.name}",
    )


@join.command(short_help="Print the commands that make the worker's accounts.")
@click.argument("file", type=FILE)
def accounts(file: Path) -> None:
    """Print a shell script that makes the accounts of FILE on RabbitMQ and Redis, with no more rights than needed.

    It holds their passwords: send it through a pipe to sh, on the hosts of RabbitMQ and Redis.
    """
    from devicevault.join import JoinFile, account_commands

    joined = JoinFile.read(file)
    click.echo(account_commands(joined.shared_settings(), joined.group), nl=False)


@join.command("import", short_help="Install the file, on the worker's host.")
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Leave another vault for this one.")
def install(file: Path, replace: bool) -> None:
    """Install FILE, as root: settings into config.d, keys, and platform pages."""
    from devicevault.join import JoinFile
    from devicevault.join import install as install_file
    from devicevault.settings import config_path

    joined = JoinFile.read(file)
    done = install_file(joined, config_path(current_config_path()), replace=replace)
    for path in done.files:
        console().print(f"wrote {path}", soft_wrap=True)
    say(
        console(),
        f"put the devices' passwords into credentials.toml, then:  systemctl enable --now devicevault-worker@"
        f"{joined.group}\ndelete {file}: it holds passwords",
    )
