"""``devicevault git``: the git mirror of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.console import console, print_json, print_table, table
from devicevault.errors import ConfigurationError, Fault
from devicevault.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from devicevault.outputs.mirror.mirror import Mirrored
    from devicevault.store import Store


@click.group()
def git() -> None:
    """The git mirror: each device's text as a file, and a commit for each run and group.

    The consumer keeps it, where mirror.enabled is set.
    """


@git.command(
    short_help="Tell how far it is, and what is wrong.",
    epilog=examples(
        "devicevault git status", "devicevault git status --json     for monitoring: the exit code is 1 when it fails"
    ),
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def status(settings: Settings, as_json: bool) -> None:
    """Tell how far the mirror and its push are, and what is wrong."""
    from devicevault.store import open_store

    _must_be_enabled(settings)
    with open_store(settings.database_url) as store:
        told = _standing(settings, store)
    if as_json:
        print_json(told)
    else:
        grid = table("Mirror", "")
        for name, value in told.items():
            if value is not None and value != "":
                shown = local_time(value) if name.endswith(("_at", "_since")) else str(value)
                grid.add_row(name.replace("_", " "), shown)
        print_table(grid)
    finish(failed=bool(told["trouble"] or told["push_trouble"]))


@git.command(
    short_help="Make it anew from the database.",
    epilog=examples("devicevault git rebuild     after a scrub, or where the mirror was damaged"),
)
@pass_settings
def rebuild(settings: Settings) -> None:
    """Make the mirror anew from the database, and put it in the place of the old one.

    The consumer may run meanwhile. What is kept on a remote is replaced at the next push.
    """
    from devicevault.outputs.mirror.mirror import Mirror

    _must_be_enabled(settings)
    done = make_anew(settings)
    size = Mirror(settings.mirror).repository().size_bytes() / 1e6
    console().print(f"{settings.mirror.path}: {done.commits} commits, {size:.1f} MB", soft_wrap=True)
    if done.is_waiting:
        console().print("the consumer adds what belongs to a run that is not done yet")


def make_anew(settings: Settings) -> Mirrored:
    """Make the mirror anew, whoever runs this. Raises :class:`~devicevault.errors.ServiceUnavailable`."""
    from devicevault.outputs.mirror.mirror import Mirror
    from devicevault.outputs.mirror.ownership import give_away
    from devicevault.store import open_store

    with open_store(settings.database_url) as store:
        done = Mirror(settings.mirror).rebuild(store)
        give_away(settings.mirror.path)
    return done


@git.command(
    short_help="Push it now.",
    epilog=examples("devicevault git push     does the remote take it?"),
)
@click.option("--force", is_flag=True, help="Overwrite the remote's branch, whatever is there.")
@pass_settings
def push(settings: Settings, force: bool) -> None:
    """Push the mirror to mirror.remote now. Run it as the consumer's user, whose keys count."""
    from devicevault.outputs.mirror.push import Push
    from devicevault.outputs.progress import MIRROR, PUSH, note_success, state_of
    from devicevault.settings import mask_passwords
    from devicevault.store import open_store

    _must_be_enabled(settings)
    if not settings.mirror.remote:
        raise ConfigurationError(Fault("mirror.remote", "is empty", "say where the mirror is to be pushed to"))
    with open_store(settings.database_url) as store:
        with store.reading() as session:
            head, pushed = state_of(session, MIRROR).head, state_of(session, PUSH).head
        if not head:
            raise ConfigurationError(Fault("mirror", "holds nothing yet", "start the consumer, which fills it"))
        Push(settings.mirror).push(head, pushed, force=force)
        with store.session() as session:
            note_success(session, PUSH, head)
    console().print(f"{mask_passwords(settings.mirror.remote)} is at {head[:12]}", soft_wrap=True)


def _must_be_enabled(settings: Settings) -> None:
    if not settings.mirror.enabled:
        fault = Fault(
            "mirror.enabled", "no git mirror is kept", "set enabled = true in [mirror], and reload the consumer"
        )
        raise ConfigurationError(fault)


def _standing(settings: Settings, store: Store) -> dict[str, Any]:
    from devicevault.outputs.progress import MIRROR, PUSH, progress_of, state_of
    from devicevault.outputs.revisions import look_at_fleet, new_revisions
    from devicevault.settings import mask_passwords

    with store.reading() as session:
        mirror, pushed = state_of(session, MIRROR), state_of(session, PUSH)
        progress = progress_of(session, MIRROR)
        waiting = len(new_revisions(session, look_at_fleet(session), progress))
    return {
        "path": settings.mirror.path,
        "branch": settings.mirror.branch,
        "commit": mirror.head,
        "worked_at": mirror.worked_at,
        "files": len(progress),
        "revisions_waiting": waiting,
        "size_mb": _size_mb(settings.mirror.path),
        "trouble": mirror.error,
        "failing_since": mirror.failing_since,
        "remote": mask_passwords(settings.mirror.remote),
        "pushed": pushed.head,
        "pushed_at": pushed.worked_at,
        "push_trouble": pushed.error if settings.mirror.remote else "",
        "push_failing_since": pushed.failing_since if settings.mirror.remote else None,
    }


def _size_mb(path: Path) -> float | None:
    """Megabytes; nothing for who may not look."""
    from devicevault.outputs.mirror.repository import Repository

    try:
        return round(Repository(path, "").size_bytes() / 1e6, 1)
    except OSError:
        return None
