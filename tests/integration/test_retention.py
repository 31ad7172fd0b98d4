"""Pruning deletes rows nobody asks for, and never a revision, its text, or the newest original."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from devicevault.settings import RetentionSettings
from devicevault.store import Store, open_run, open_store, queue_requests, reader, write_results
from devicevault.store.models import CollectionRun, DeviceBackupResult, SealedOriginal
from devicevault.store.retention import Pruned, prunable, prune
from tests.results import artifact, at, request, result

DAY = 24 * 60
KEEP_10_DAYS = RetentionSettings(results_days=10, originals_days=10)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with open_store(request.getfixturevalue(f"{request.param}_url"), migrate=True) as opened:
        yield opened


def collect(store: Store, day: int, text: str = "", **values: object) -> str:
    """One collection of core-sw1 on that day, a failure without a text; its task id."""
    asked = request(minutes=day * DAY)
    with store.session() as session:
        run_id = open_run(session, asked_by="pat", requested_at=asked.requested_at)
        queue_requests(session, run_id, [asked])
    came = asked.model_copy(update={"run_id": run_id})
    texts = [artifact(text, original=text.encode(), name="running")] if text else []
    status, error = ("success", "") if text else ("failure", "timeout")
    write_results(store, [result(came, status, *texts, error=error, **values)])
    with store.session() as session:
        row = session.scalars(select(DeviceBackupResult).where(DeviceBackupResult.task_id == asked.task_id)).one()
        row.recorded_at = asked.requested_at
    return asked.task_id


def kept(store: Store) -> set[str]:
    with store.reading() as session:
        return set(session.scalars(select(DeviceBackupResult.task_id)))


def test_old_collections_without_a_change_go_with_their_runs_and_the_rest_stays(store: Store) -> None:
    first = collect(store, 0, "hostname one\n")
    unchanged = collect(store, 1, "hostname one\n")
    failed = collect(store, 2)
    changed = collect(store, 3, "hostname two\n")
    still_young = collect(store, 15, "hostname two\n")
    last = collect(store, 16)
    now = at(20 * DAY)
    assert prunable(store, KEEP_10_DAYS, now).results == 2
    assert prune(store, KEEP_10_DAYS, now) == Pruned(results=2, runs=2, originals=1)
    assert kept(store) == {first, changed, still_young, last}
    assert not {unchanged, failed} & kept(store)
    assert prune(store, KEEP_10_DAYS, now) == Pruned()
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(CollectionRun)) == 4


def test_every_revision_and_the_newest_original_outlive_everything(store: Store) -> None:
    """Also the newest collection and the newest success of a device that was given up years ago."""
    for day in range(4):
        collect(store, day, f"hostname v{day}\n")
    last = collect(store, 4)
    prune(store, RetentionSettings(results_days=1, originals_days=1), at(3650 * DAY))
    with store.reading() as session:
        device = reader.find_device(session, "core-sw1")
        texts = [reader.revision(session, device, artifact="running", number=number).text for number in range(1, 5)]
        assert texts == [f"hostname v{day}\n" for day in range(4)]
        assert reader.original(session, device, artifact="running").sealed == b"hostname v3\n"
        assert session.scalar(select(func.count()).select_from(SealedOriginal)) == 1
        (state,) = reader.device_states(session)
    assert state.latest is not None
    assert state.latest.task_id == last
    assert state.last_success_at == at(3 * DAY)


def test_what_waits_for_its_result_and_what_is_held_as_suspect_stays(store: Store) -> None:
    collect(store, 0, "hostname one\n" * 100)
    held = collect(store, 1, "hostname one\n")
    collect(store, 2)
    asked = request(minutes=3 * DAY)
    with store.session() as session:
        queue_requests(session, open_run(session, asked_by="pat"), [asked])
    prune(store, KEEP_10_DAYS, at(1000 * DAY))
    assert {held, asked.task_id} <= kept(store)


def test_zero_days_keep_everything(store: Store) -> None:
    for day in range(3):
        collect(store, day, "hostname one\n")
    assert prune(store, RetentionSettings(results_days=0, originals_days=0), at(3650 * DAY)) == Pruned()
    assert len(kept(store)) == 3


def test_a_run_that_waited_for_another_runs_task_is_pruned_with_it(store: Store) -> None:
    collect(store, 0, "hostname one\n")
    asked = request(minutes=DAY, expires_at=at(1e7))
    with store.session() as session:
        first = open_run(session, asked_by="pat", requested_at=at(DAY))
        queue_requests(session, first, [asked])
        second = open_run(session, asked_by="kim", requested_at=at(DAY))
        queue_requests(session, second, [request(minutes=DAY)], attach=True)
    write_results(store, [result(asked, "failure", error="timeout")])
    with store.session() as session:
        row = session.scalars(select(DeviceBackupResult).where(DeviceBackupResult.task_id == asked.task_id)).one()
        row.recorded_at = at(DAY)
    collect(store, 2, "hostname one\n")
    found = prune(store, KEEP_10_DAYS, at(1000 * DAY))
    assert (found.results, found.runs) == (1, 2)


def test_pruning_goes_on_until_nothing_is_left_to_prune(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devicevault.store.retention.PRUNE_AT_ONCE", 2)
    for day in range(7):
        collect(store, day, "hostname one\n")
    assert prune(store, KEEP_10_DAYS, at(3650 * DAY) + timedelta(days=1)).results == 5
