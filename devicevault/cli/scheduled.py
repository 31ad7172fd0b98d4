"""A run by the clock: nobody looks at it, so its exit code has to tell what is worth waking somebody for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

import click

from devicevault.cli.console import errors
from devicevault.cli.summary import failed
from devicevault.cli.waiting import summed_up, watch
from devicevault.errors import ExitCode
from devicevault.messages import Status
from devicevault.store.sweep import Waits

if TYPE_CHECKING:
    from devicevault.settings import Settings
    from devicevault.store import Store
    from devicevault.store.reader import ResultSummary

#: Who asks, in ``devicevault runs`` and in each row's task identifier.
ASKED_BY: Final = "timer"
#: Ends that show that the chain works: the device's text came, or another task has the device in hand.
BROUGHT: Final = frozenset({Status.SUCCESS, Status.SUSPECT, Status.SKIPPED})


def follow(store: Store, run_id: str, settings: Settings, *, as_json: bool) -> NoReturn:
    """Wait until every row has ended, print the summary and end the command.

    A row that nothing else ends is ended by the consumer: waiting longer than until then would be of no use. A database
    that is away meanwhile is waited for as well.
    """
    wait_s = longest_wait_s(settings)
    is_done = watch(store, run_id, timeout_s=wait_s, away_s=wait_s)
    results = summed_up(store, run_id, as_json=as_json)
    if not is_done:
        errors().print(
            f"no end came to some requests within {wait_s:.0f} s: does the consumer run? See: devicevault doctor"
        )
    code = exit_code(results)
    if code == ExitCode.NOTHING_COLLECTED:
        errors().print("no device at all was backed up; see: devicevault doctor")
    click.get_current_context().exit(code)


def longest_wait_s(settings: Settings) -> float:
    """Seconds until the consumer has ended the last row."""
    waits = Waits.from_settings(settings)
    # The consumer looks every so often, after it has read all that waits in the stream.
    return (waits.queue + waits.session).total_seconds() + 3 * settings.consumer.sweep_s


def exit_code(results: Sequence[ResultSummary]) -> int:
    """3 when devices failed and no other was backed up either; only some failed ones are no fault of the run."""
    ended_badly = any(failed(row) or row.status == Status.QUEUED for row in results)
    brought = any(row.status in BROUGHT for row in results)
    return ExitCode.NOTHING_COLLECTED if ended_badly and not brought else ExitCode.DONE
