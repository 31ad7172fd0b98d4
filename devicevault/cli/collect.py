"""``devicevault collect``: back devices up now."""

from __future__ import annotations

import getpass
import os
from collections import Counter
from collections.abc import Set
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import click

from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.console import console, errors, print_json
from devicevault.errors import ServiceUnavailable, UsageError

if TYPE_CHECKING:
    from devicevault.dispatch import Dispatched
    from devicevault.inventory import Device
    from devicevault.settings import Settings


@click.command(
    epilog=examples(
        "devicevault collect core-sw1 core-sw2",
        "devicevault collect --group dmz --wait",
        "devicevault collect --all --wait --timeout 600",
        "devicevault collect --inline -v core-sw1     find out why a device fails",
    )
)
@click.argument("names", metavar="[DEVICE]...", nargs=-1)
@click.option(
    "--group",
    "-g",
    "groups",
    metavar="GROUP",
    multiple=True,
    help="All devices of this collector group; may be given again.",
)
@click.option(
    "--tag",
    "-t",
    "tags",
    metavar="TAG",
    multiple=True,
    help="All devices with this tag; with several, with all of them.",
)
@click.option("--all", "everything", is_flag=True, help="Every device of the inventory.")
@click.option("--wait", is_flag=True, help="Show progress until every device is done, then a summary.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS", help="How long --wait waits.")
@click.option(
    "--scheduled", is_flag=True, help="As the timer asks: behind what people ask for, and waiting for the end."
)
@click.option("--inline", is_flag=True, help="In this process, without broker and Redis: for trials.")
@click.option("-v", "--verbose", is_flag=True, help="With --inline: show the session, secrets masked.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def collect(
    settings: Settings,
    names: tuple[str, ...],
    groups: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    wait: bool,
    timeout_s: float | None,
    scheduled: bool,
    inline: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Back devices up now.

    DEVICE is a name or a pattern such as 'core-*'. The workers do it; with --wait the exit code is 1 when a device
    failed and 75 when the time was over before all were done. With --scheduled it is 3 when no device at all was
    backed up, and 0 when only some failed.
    """
    _check_options(wait=wait, timeout_s=timeout_s, scheduled=scheduled, inline=inline, verbose=verbose)
    devices = _chosen(settings, names, groups, tags, everything)
    if inline:
        from devicevault.cli.inline import collect_inline
        from devicevault.cli.summary import failed, print_summary

        results = collect_inline(devices, settings, asked_by=whoami(), verbose=verbose)
        print_summary(results[0].run_id if results else "", results, as_json=as_json)
        finish(failed=any(map(failed, results)))
    if scheduled:
        _by_the_clock(devices, settings, as_json=as_json)
    _through_workers(devices, settings, wait=wait, timeout_s=timeout_s, as_json=as_json)


def whoami() -> str:
    """Who asks: the person behind ``sudo``, else the user's name."""
    if person := os.environ.get("SUDO_USER"):
        return person
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have them; the kind varies by Python
        return str(os.getuid())


def _check_options(*, wait: bool, timeout_s: float | None, scheduled: bool, inline: bool, verbose: bool) -> None:
    if scheduled and (wait or inline):
        raise UsageError(
            "--scheduled goes with neither --wait nor --inline", "leave those out: --scheduled waits anyway"
        )
    if inline and wait:
        raise UsageError("--inline and --wait do not go together", "leave out --wait: --inline waits anyway")
    if timeout_s is not None and not wait:
        raise UsageError("--timeout is about --wait", "add --wait, or leave out --timeout")
    if verbose and not inline:
        raise UsageError("--verbose shows a session of this process", "add --inline")


def _chosen(
    settings: Settings, names: tuple[str, ...], groups: tuple[str, ...], tags: tuple[str, ...], everything: bool
) -> list[Device]:
    from devicevault.inventory import load_inventory
    from devicevault.platforms import Platforms

    inventory = load_inventory(settings, Platforms.load(settings.platforms_dir).names(), None)
    return inventory.select(names, groups, everything=everything, tags=tags)


def _by_the_clock(devices: list[Device], settings: Settings, *, as_json: bool) -> NoReturn:
    from devicevault import names
    from devicevault.celery_app import app
    from devicevault.cli.scheduled import ASKED_BY, follow
    from devicevault.dispatch import dispatch
    from devicevault.store import open_store

    app.use(settings)
    with open_store(settings.database_url, migrate=True) as store:
        run = dispatch(
            devices,
            settings=settings,
            store=store,
            app=app,
            asked_by=ASKED_BY,
            kind="scheduled",
            priority=names.PRIORITY_SCHEDULED,
        )
        _tell_what_was_not_taken(run)
        follow(store, run.run_id, settings, as_json=as_json)


def _through_workers(
    devices: list[Device], settings: Settings, *, wait: bool, timeout_s: float | None, as_json: bool
) -> None:
    from devicevault.celery_app import app
    from devicevault.cli.waiting import follow
    from devicevault.dispatch import dispatch
    from devicevault.store import open_store

    app.use(settings)
    with open_store(settings.database_url, migrate=True) as store:
        run = dispatch(devices, settings=settings, store=store, app=app, asked_by=whoami())
        _tell_what_was_not_taken(run)
        _tell_of_pauses({device.group for device in devices}, settings)
        if wait:
            follow(store, run.run_id, timeout_s=timeout_s, as_json=as_json)
            return
    queued = len(devices) - len(run.not_taken)
    if as_json:
        print_json({"run_id": run.run_id, "devices": [device.name for device in devices], "queued": queued})
    else:
        console().print(f"{queued} queued; look at them with: devicevault runs {run.run_id[:8]}")
    finish(failed=bool(run.not_taken))


def _tell_of_pauses(groups: Set[str], settings: Settings) -> None:
    """Whose workers start nothing; not a word where Redis can't be asked, which `doctor` tells."""
    from devicevault.steering import paused_groups
    from devicevault.stream import connect_redis

    with suppress(ServiceUnavailable), connect_redis(settings.redis_url) as redis:
        for group, pause in paused_groups(redis).items():
            if group in groups:
                by = f" by {pause.by}" if pause.by else ""
                errors().print(
                    f"group {group} is paused{by}: its workers start nothing until: devicevault resume {group}",
                    style="yellow",
                    soft_wrap=True,
                )


def _tell_what_was_not_taken(run: Dispatched) -> None:
    """One line for each reason: the broker went away in the middle, or refuses one group's queue."""
    for reason, count in Counter(run.not_taken.values()).items():
        errors().print(f"{count} not asked for: {reason}")
