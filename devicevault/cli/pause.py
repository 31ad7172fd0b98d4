"""``devicevault pause`` and ``resume``: let a collector group's workers wait."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from devicevault import names
from devicevault.cli import pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.collect import whoami
from devicevault.cli.console import console, print_json, print_table, table
from devicevault.errors import UsageError
from devicevault.nearest import did_you_mean

if TYPE_CHECKING:
    from devicevault.settings import Settings


@click.command()
@click.argument("groups", metavar="[GROUP]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def pause(settings: Settings, groups: tuple[str, ...], as_json: bool) -> None:
    """Let the workers of GROUP start nothing until `resume`; without GROUP, tell which are paused.

    Sessions that run already go on. What is asked for meanwhile waits, and expires after queue.wait_s as ever.
    """
    from devicevault import steering
    from devicevault.stream import connect_redis

    _check(settings, groups)
    with connect_redis(settings.redis_url) as redis:
        for group in groups:
            steering.pause_group(redis, group, by=whoami())
        paused = steering.paused_groups(redis)
    if as_json:
        print_json({group: asdict(one) for group, one in paused.items()})
    elif not paused:
        console().print("no group is paused")
    else:
        grid = table("Paused group", "By", "Since")
        for group, one in paused.items():
            grid.add_row(group, one.by, _local(one.since))
        print_table(grid)


@click.command()
@click.argument("groups", metavar="GROUP...", nargs=-1, required=True)
@pass_settings
def resume(settings: Settings, groups: tuple[str, ...]) -> None:
    """Let the workers of a paused GROUP go on, and use again a credential that was refused too often."""
    from devicevault import steering
    from devicevault.stream import connect_redis

    with connect_redis(settings.redis_url) as redis:
        for group in groups:
            most = settings.for_group(group).ssh.max_refused_logins
            refused = steering.refused_logins(redis, group).items()
            stopped = [name for name, count in refused if most and count >= most]
            was_paused = steering.resume_group(redis, group)
            console().print(f"{group}: goes on" if was_paused else f"{group}: was not paused")
            for name in stopped:
                console().print(f"{group}: credential {name} is used again")


def _local(since: str) -> str:
    """A time as Redis has it; whatever else stands there is shown as it is."""
    try:
        return local_time(datetime.fromisoformat(since))
    except ValueError:
        return since


def _check(settings: Settings, groups: tuple[str, ...]) -> None:
    """Pausing a mistyped group would pause nothing. Raises :class:`UsageError` for one nobody knows."""
    from devicevault.cli.standing import readable_inventory

    inventory = readable_inventory(settings, "nobody sees whether these groups exist") if groups else None
    if inventory is None:
        return
    known = {names.DEFAULT_GROUP, *settings.groups, *inventory.groups()}
    for group in groups:
        if group not in known:
            hint = did_you_mean(group, sorted(known)) or f"there are: {', '.join(sorted(known))}"
            raise UsageError(f"there is no collector group {group!r}", hint)
