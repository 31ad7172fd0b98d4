"""``devicevault notify``: who is told of changes and faults, and whether it reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from devicevault.cli import examples, finish, pass_settings
from devicevault.cli.clock import local_time
from devicevault.cli.console import console, print_json, print_table, table
from devicevault.errors import ConfigurationError, Fault, UsageError
from devicevault.nearest import did_you_mean
from devicevault.settings import Settings

if TYPE_CHECKING:
    from devicevault.settings import ReceiverSettings


@click.group()
def notify() -> None:
    """Notices of changes and faults: who gets them, and whether they arrive.

    The consumer sends them to each [receivers.NAME] of the settings.
    """


@notify.command(
    short_help="Send each receiver a notice now.",
    epilog=examples("devicevault notify test", "devicevault notify test noc"),
)
@click.argument("names", metavar="[RECEIVER]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def test(settings: Settings, names: tuple[str, ...], as_json: bool) -> None:
    """Send each RECEIVER, or every one, a notice now, whatever it chooses otherwise.

    Run it as the consumer's user, who may read their URLs. The exit code is 1 when one did not take it.
    """
    from devicevault.outputs.notices.outbox import test_event
    from devicevault.outputs.notices.send import NotDelivered, send

    problems: dict[str, str] = {}
    for name, receiver in _chosen(settings, names).items():
        try:
            send(receiver, [{"id": "test", **test_event(datetime.now(UTC)).data}])
            problems[name] = ""
        except NotDelivered as error:
            problems[name] = str(error)
    if as_json:
        print_json([{"receiver": name, "taken": not problem, "problem": problem} for name, problem in problems.items()])
    else:
        grid = table("Receiver", "Result", "Why")
        for name, problem in problems.items():
            grid.add_row(name, "not taken" if problem else "taken", problem)
        print_table(grid)
    finish(failed=any(problems.values()))


@notify.command(short_help="Who gets what, what waits, and what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def status(settings: Settings, as_json: bool) -> None:
    """Who gets what, what waits for them, and what was told as wrong and is so still.

    The exit code is 1 when a receiver takes nothing.
    """
    receivers = _chosen(settings, ())
    waiting, conditions = _from_store(settings)
    if as_json:
        print_json(
            {"receivers": [_described(name, receivers[name], waiting) for name in receivers], "told": conditions}
        )
    else:
        _print(receivers, waiting, conditions)
    finish(failed=any(one["attempts"] for one in waiting.values()))


def _print(
    receivers: Mapping[str, ReceiverSettings], waiting: Mapping[str, dict[str, Any]], conditions: list[dict[str, Any]]
) -> None:
    grid = table("Receiver", "Through", "Kinds", "Groups", "Waiting", "Trouble")
    for name, receiver in receivers.items():
        told = _described(name, receiver, waiting)
        grid.add_row(
            name,
            told["through"],
            ", ".join(receiver.kinds) or "all",
            ", ".join(receiver.groups) or "all",
            str(told["waiting"] or ""),
            told["trouble"],
        )
    print_table(grid)
    if conditions:
        console().print()
        grid = table("Told as wrong", "Of", "Since")
        for one in conditions:
            grid.add_row(one["kind"], one["subject"], local_time(one["since"]))
        print_table(grid)


def _described(name: str, receiver: ReceiverSettings, waiting: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    mine = waiting.get(name, {})
    return {
        "receiver": name,
        "through": receiver.command[0] if receiver.command else "Apprise",
        "kinds": list(receiver.kinds),
        "groups": list(receiver.groups),
        "digest_s": receiver.digest_s,
        "waiting": mine.get("count", 0),
        "due_at": mine.get("due_at"),
        "trouble": mine.get("error", ""),
    }


def _from_store(settings: Settings) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """What waits, by receiver, and what was told as wrong."""
    from sqlalchemy import select

    from devicevault.outputs.notices.outbox import waiting
    from devicevault.store import open_store
    from devicevault.store.output_models import NoticeCondition

    with open_store(settings.database_url) as store, store.reading() as session:
        found = {one.receiver: asdict(one) for one in waiting(session)}
        rows = session.scalars(select(NoticeCondition).order_by(NoticeCondition.since, NoticeCondition.subject))
        conditions = [{"kind": row.kind, "subject": row.subject, "since": row.since} for row in rows]
    return found, conditions


def _chosen(settings: Settings, names: tuple[str, ...]) -> dict[str, ReceiverSettings]:
    receivers = settings.receivers
    if not receivers:
        raise ConfigurationError(Fault("receivers", "nobody gets notices", "name one in a table [receivers.NAME]"))
    for name in names:
        if name not in receivers:
            raise UsageError(f"there is no receiver {name!r}", did_you_mean(name, receivers) or _known(receivers))
    return {name: receiver for name, receiver in receivers.items() if not names or name in names}


def _known(receivers: Mapping[str, ReceiverSettings]) -> str:
    return f"there are: {', '.join(receivers)}"
