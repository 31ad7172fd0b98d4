"""Pruning deletes what the settings keep no longer, and never the last good backup; a dry run tells just that."""

from __future__ import annotations

import base64
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from devicevault.compression import compress
from devicevault.errors import UsageError
from devicevault.settings import RetentionSettings
from devicevault.store import Store, open_run, open_store, queue_requests, reader, write_results
from devicevault.store.models import Base, CollectionRun, DeviceBackupResult, DeviceConfig, SealedOriginal
from devicevault.store.retention import prune
from devicevault.store.retention.space import give_back, space_of
from devicevault.store.texts import Texts
from tests.results import artifact, at, request, result

DAY = 24 * 60
#: Everything for ten days, and then the last one of a day, a week, a month.
KEEP_10_DAYS = RetentionSettings(
    all_days=10,
    daily_days=1,
    weekly_weeks=1,
    monthly_months=1,
    results_days=10,
    originals_days=10,
    logs_days=10,
    runs_days=10,
)
FOR_EVER = RetentionSettings(all_days=0, originals_days=0, results_days=0, logs_days=0, runs_days=0)
YEARS_LATER = at(3650 * DAY)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with open_store(request.getfixturevalue(f"{request.param}_url"), migrate=True) as opened:
        yield opened


def collect(store: Store, day: float, text: str = "", device: str = "core-sw1", **values: object) -> str:
    """One collection of a device on that day, a failure without a text; its task id."""
    asked = request(device, minutes=day * DAY)
    with store.session() as session:
        run_id = open_run(session, asked_by="pat", requested_at=asked.requested_at)
        queue_requests(session, run_id, [asked])
    came = asked.model_copy(update={"run_id": run_id})
    texts = [artifact(text, original=text.encode(), name="running")] if text else []
    status, error = ("success", "") if text else ("failure", "timeout")
    log = [{"time": asked.requested_at, "message": "connected"}]
    write_results(store, [result(came, status, *texts, error=error, log=log, **values)])
    note_recorded(store, asked.task_id, asked.requested_at)
    return asked.task_id


def note_recorded(store: Store, task_id: str, when: Any) -> None:
    with store.session() as session:
        row = session.scalars(select(DeviceBackupResult).where(DeviceBackupResult.task_id == task_id)).one()
        row.recorded_at = when


def kept(store: Store) -> set[str]:
    with store.reading() as session:
        return set(session.scalars(select(DeviceBackupResult.task_id)))


def revisions(store: Store, device: str = "core-sw1") -> list[int]:
    with store.reading() as session:
        found = reader.device_revisions(session, reader.find_device(session, device), limit=1000)
    return [one.number for one in found][::-1]


def counted(store: Store, table: type[Base]) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def pruned(store: Store, retention: RetentionSettings, now: Any) -> dict[str, int]:
    """What went, having been told just so before."""
    told = prune(store, retention, now, dry_run=True)
    assert prune(store, retention, now, dry_run=True).amounts == told.amounts
    done = prune(store, retention, now)
    assert done.amounts == told.amounts
    assert prune(store, retention, now).counts == {}
    return done.counts


def test_old_collections_without_a_change_go_with_their_runs_and_the_rest_stays(store: Store) -> None:
    first = collect(store, 0, "hostname one\n")
    unchanged = collect(store, 1, "hostname one\n")
    failed = collect(store, 2)
    changed = collect(store, 3, "hostname two\n")
    still_young = collect(store, 15, "hostname two\n")
    last = collect(store, 16)
    keep = KEEP_10_DAYS.model_copy(update={"all_days": 0, "logs_days": 0})
    assert pruned(store, keep, at(20 * DAY)) == {"results": 2, "runs": 2, "originals": 1}
    assert kept(store) == {first, changed, still_young, last}
    assert not {unchanged, failed} & kept(store)
    assert counted(store, CollectionRun) == 4


def test_revisions_are_thinned_out_with_all_that_only_they_have(store: Store) -> None:
    """Two a day for 60 days: of the last ten days all, then the last of a day, of a week, of a month."""
    for number in range(120):
        # Every third text comes again, so that one text is of many revisions.
        collect(store, number / 2, f"hostname v{number if number % 3 else 0}\n")
    collect(store, 59, "other\n", device="b")
    done = pruned(store, KEEP_10_DAYS, at(60 * DAY))
    left = revisions(store)
    # Day 60 is 3 July: all since 23 June and what was overtaken since; the last of Sunday 21 June; the last of May.
    assert left == [56, 98, 100, *range(101, 121)]
    assert done["revisions"] == 120 - len(left)
    assert done["originals"] == 120 - len(left) + 3, "those that stay of overtaken revisions lose their originals"
    with store.reading() as session:
        device = reader.find_device(session, "core-sw1")
        for number in left:
            text = reader.revision(session, device, artifact="running", number=number).text
            assert text == f"hostname v{number - 1 if (number - 1) % 3 else 0}\n"
        before = reader.revision_before(session, device, artifact="running", number=left[1])
        assert before is not None
        assert before.number == left[0]
        with pytest.raises(UsageError, match="has no revision 2"):
            reader.revision(session, device, artifact="running", number=2)
    of_these = {number if (number - 1) % 3 else 0 for number in left}
    assert counted(store, DeviceConfig) == len(of_these) + 1
    assert done["texts"] == 81 - len(of_these)
    # A text that went comes again.
    collect(store, 61, "hostname v1\n")
    assert revisions(store)[-1] == 121


def test_what_is_told_in_bytes_is_what_texts_and_originals_take(store: Store) -> None:
    texts = [f"hostname v{number}\n" + "line\n" * number for number in range(5)]
    for day, text in enumerate(texts):
        collect(store, day / 10, text)
    told = prune(store, KEEP_10_DAYS, YEARS_LATER, dry_run=True)
    sizes = {kind.value: amount.bytes for kind, amount in told}
    assert sizes["texts"] == sum(len(compress(text.encode())) for text in texts[:4])
    assert sizes["originals"] == sum(len(text) for text in texts[:4])


def test_the_newest_good_one_and_its_original_outlive_everything(store: Store) -> None:
    """Also the newest collection and the newest success of a device that was given up years ago."""
    for day in range(4):
        collect(store, day, f"hostname v{day}\n")
    last = collect(store, 4)
    done = pruned(store, KEEP_10_DAYS, YEARS_LATER)
    assert done == {"revisions": 3, "texts": 3, "originals": 3, "results": 3, "runs": 3}
    assert revisions(store) == [4]
    with store.reading() as session:
        device = reader.find_device(session, "core-sw1")
        assert reader.revision(session, device, artifact="running").text == "hostname v3\n"
        assert reader.original(session, device, artifact="running").sealed == b"hostname v3\n"
        (state,) = reader.device_states(session)
        log = reader.result_log(session, last)
    assert state.latest is not None
    assert state.latest.task_id == last
    assert state.last_success_at == at(3 * DAY)
    assert [step["message"] for step in log] == ["connected"]


def test_the_newest_original_stays_where_later_revisions_have_none(store: Store) -> None:
    collect(store, 0, "hostname v0\n")
    collect(store, 1, "hostname v1\n")
    asked = request(minutes=2 * DAY)
    bare = artifact("hostname v2\n", name="running").model_copy(update={"original": b""})
    write_results(store, [result(asked, "success", bare)])
    pruned(store, KEEP_10_DAYS, YEARS_LATER)
    assert revisions(store) == [2, 3]
    assert counted(store, SealedOriginal) == 1


def test_a_device_is_shown_by_the_artifact_collected_first_whatever_was_pruned(store: Store) -> None:
    for day in range(2):
        texts = (artifact(f"v{day}\n", name="running"), artifact("as ever\n", name="a-file"))
        write_results(store, [result(request(minutes=day * DAY), "success", *texts)])
    assert pruned(store, KEEP_10_DAYS, YEARS_LATER)["revisions"] == 1
    with store.reading() as session:
        device = reader.find_device(session, "core-sw1")
        assert reader.main_artifact(device) == "running"
        assert reader.artifact_names(session, device) == ["running", "a-file"]


def test_the_steps_of_a_collection_go_before_its_row(store: Store) -> None:
    old, young, last = collect(store, 0), collect(store, 8), collect(store, 9)
    keep = FOR_EVER.model_copy(update={"logs_days": 5})
    assert pruned(store, keep, at(10 * DAY)) == {"logs": 1}
    with store.reading() as session:
        assert [bool(reader.result_log(session, task_id)) for task_id in (old, young, last)] == [False, True, True]


def test_what_waits_for_its_result_and_what_is_held_as_suspect_stays(store: Store) -> None:
    collect(store, 0, "hostname one\n" * 100)
    held = collect(store, 1, "hostname one\n")
    collect(store, 2)
    asked = request(minutes=3 * DAY)
    with store.session() as session:
        queue_requests(session, open_run(session, asked_by="pat"), [asked])
    pruned(store, KEEP_10_DAYS, at(1000 * DAY))
    assert {held, asked.task_id} <= kept(store)
    with store.reading() as session:
        assert reader.held(session, reader.find_device(session, "core-sw1")).text == "hostname one\n"


def test_zero_keeps_everything(store: Store) -> None:
    for day in range(3):
        collect(store, day, f"hostname v{day % 2}\n")
    assert pruned(store, FOR_EVER, YEARS_LATER) == {}


def test_a_run_that_waited_for_another_runs_task_is_pruned_with_it(store: Store) -> None:
    collect(store, 0, "hostname one\n")
    asked = request(minutes=DAY, expires_at=at(1e7))
    with store.session() as session:
        first = open_run(session, asked_by="pat", requested_at=at(DAY))
        queue_requests(session, first, [asked])
        second = open_run(session, asked_by="kim", requested_at=at(DAY))
        queue_requests(session, second, [request(minutes=DAY)], attach=True)
    write_results(store, [result(asked, "failure", error="timeout")])
    note_recorded(store, asked.task_id, at(DAY))
    collect(store, 2, "hostname one\n")
    assert pruned(store, KEEP_10_DAYS, at(1000 * DAY)) == {"results": 1, "runs": 2, "logs": 1}


@pytest.mark.parametrize("at_step", [1, 2, 3, 5])
def test_what_is_interrupted_goes_on_at_the_next_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, at_step: int
) -> None:
    monkeypatch.setattr("devicevault.store.retention.ROWS_AT_ONCE", 2)
    for day in range(7):
        collect(store, day, f"hostname v{day}\n")
    told = prune(store, KEEP_10_DAYS, YEARS_LATER, dry_run=True).counts
    steps = 0

    def interrupt(_what: str, _done: int, _total: int) -> None:
        nonlocal steps
        steps += 1
        if steps == at_step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(store, KEEP_10_DAYS, YEARS_LATER, tell=interrupt)
    prune(store, KEEP_10_DAYS, YEARS_LATER)
    assert revisions(store) == [7]
    assert len(kept(store)) == 7 - told["results"]
    assert counted(store, CollectionRun) == 7 - told["runs"]


def noise(seed: int) -> str:
    """30 KB that compression leaves at half of that."""
    return base64.b64encode(random.Random(seed).randbytes(22_000)).decode()


def test_the_room_of_what_went_is_given_back(store: Store) -> None:
    for number in range(40):
        collect(store, number, noise(number))
    assert prune(store, KEEP_10_DAYS, YEARS_LATER).counts["revisions"] == 39
    before = space_of(store)
    give_back(store, lambda what, done, total: None)
    after = space_of(store)
    assert revisions(store) == [40]
    if before.free is not None:
        assert after.free == 0
        assert after.bytes == before.bytes - before.free
        return
    # PostgreSQL's file has holes, which are filled.
    for number in range(40, 70):
        collect(store, number, noise(number))
    assert space_of(store).bytes - after.bytes < 500_000


def test_a_sqlite_file_of_an_earlier_release_is_made_for_it_once(sqlite_url: str) -> None:
    with open_store(sqlite_url, migrate=True) as store:
        path = str(store.engine.url.database)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    with open_store(sqlite_url) as store:
        collect(store, 0, "hostname one\n")
        give_back(store, lambda what, done, total: None)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        collect(store, 1, "hostname two\n")
        assert revisions(store) == [1, 2]


@pytest.mark.services
def test_a_text_that_comes_again_while_it_is_pruned_stays(postgresql_url: str) -> None:
    """A consumer that just found the text holds it; the revision has its turn at the next run."""
    with open_store(postgresql_url, migrate=True) as store:
        for day in range(3):
            collect(store, day, f"hostname v{day}\n")
        with store.session() as session:
            texts = Texts(session)
            texts.add(artifact("hostname v0\n"))
            texts.write()
            assert prune(store, KEEP_10_DAYS, YEARS_LATER).counts["revisions"] == 1
            assert revisions(store) == [1, 3]
        assert prune(store, KEEP_10_DAYS, YEARS_LATER + timedelta(days=1)).counts["revisions"] == 1
