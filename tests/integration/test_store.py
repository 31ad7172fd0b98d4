"""The store on SQLite and on PostgreSQL: what is written, by which rules, and what it tells."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select

from devicevault.errors import ConfigurationError, ServiceUnavailable, UsageError
from devicevault.messages import CollectFacts, CollectRequest, CollectResult, LogLine, Status
from devicevault.store import (
    Store,
    hostkeys,
    mark_lost,
    mark_undelivered,
    open_run,
    open_store,
    queue_requests,
    reader,
    schema,
    write_results,
)
from devicevault.store.engine import connect
from devicevault.store.models import Base, CollectionRun, Device, DeviceBackupResult, DeviceConfig, SealedOriginal
from devicevault.store.sqlite import LOCK_WAIT_S, TURN_S
from tests.results import artifact, at, request, result
from tests.servers import PostgreSQLServer

pytestmark = pytest.mark.services


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with open_store(database_url, migrate=True) as opened:
        yield opened


def queue(store: Store, *requests: CollectRequest) -> str:
    with store.session() as session:
        run_id = open_run(session, asked_by="ann", requested_at=at(0))
        queue_requests(session, run_id, requests)
    return run_id


def row_of(store: Store, task_id: str) -> DeviceBackupResult:
    with store.reading() as session:
        return session.scalars(select(DeviceBackupResult).where(DeviceBackupResult.task_id == task_id)).one()


def beside(sqlite_url: str) -> sqlite3.Connection:
    """Another process's connection, which waits for nobody."""
    return sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)


def count(store: Store, model: type[Base]) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def revisions(store: Store, device: str = "core-sw1") -> list[tuple[int, str, int, int]]:
    with store.reading() as session:
        found = reader.device_revisions(session, reader.find_device(session, device), limit=100)
    return [(one.number, one.reason, one.added, one.removed) for one in reversed(found)]


def collected(minutes: float, text: str, **values: Any) -> CollectResult:
    """A success of a task nobody queued."""
    keyed = values.pop("keyed", "")
    return result(request(minutes=minutes), "success", artifact(text, original_digest=keyed), **values)


class TestSchema:
    def test_the_migrations_make_exactly_the_models(self, store: Store) -> None:
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []

    def test_an_empty_database_is_filled_only_when_asked_to(self, postgresql_url: str) -> None:
        with pytest.raises(ConfigurationError, match="devicevault db upgrade"):
            open_store(postgresql_url)
        open_store(postgresql_url, migrate=True).close()
        open_store(postgresql_url).close()

    def test_a_database_of_another_release_is_left_alone(self, store: Store, database_url: str) -> None:
        with store.session() as session:
            session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(ConfigurationError, match="newer release"):
            open_store(database_url, migrate=True)

    def test_many_may_upgrade_at_once(self, database_url: str) -> None:
        """The consumer and a first collect may start in the same second."""
        failures: list[BaseException] = []
        begin = threading.Barrier(4)

        def upgrade() -> None:
            try:
                begin.wait()
                open_store(database_url, migrate=True).close()
            except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=upgrade) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        with open_store(database_url) as opened:
            assert schema.current(opened.engine) == schema.newest()


class TestOpening:
    def test_a_new_sqlite_file_is_the_groups_and_nobody_elses(self, sqlite_url: str, tmp_path: Path) -> None:
        before = os.umask(0o077)
        try:
            open_store(sqlite_url, migrate=True).close()
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "devicevault.db").stat().st_mode) == 0o660

    def test_reading_makes_no_file(self, sqlite_url: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no database at"):
            open_store(sqlite_url)
        assert list(tmp_path.iterdir()) == []

    def test_sqlite_keeps_a_write_ahead_log_and_syncs_each_commit(self, sqlite_url: str) -> None:
        with open_store(sqlite_url, migrate=True) as opened, opened.session() as session:
            ask = session.connection().exec_driver_sql
            assert ask("PRAGMA journal_mode").scalar() == "wal"
            assert ask("PRAGMA synchronous").scalar() == 2
            assert ask("PRAGMA foreign_keys").scalar() == 1

    @pytest.mark.parametrize(
        "url",
        [
            "mysql://ann:hunter2@host/db",
            "nonsense hunter2",
            "sqlite://",
            "sqlite:////not/there/hunter2.d/x.db",
            "postgresql+psycopg2://ann:hunter2@host/db",
            "postgresql://ann:hunter2@host:port/db",
        ],
    )
    def test_a_url_that_fits_no_database_is_a_fault_of_the_setting(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            connect(url)
        assert caught.value.faults[0].source == "database_url"
        assert "ann:hunter2" not in str(caught.value)

    def test_a_database_that_is_away_is_told_without_its_password(self) -> None:
        with pytest.raises(ServiceUnavailable, match="refused") as caught:
            open_store("postgresql://ann:hunter2@127.0.0.1:1/db")
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_file_that_is_no_database_is_told(self, sqlite_url: str, tmp_path: Path) -> None:
        (tmp_path / "devicevault.db").write_text("This is not a database, whatever its name says." * 100)
        with pytest.raises(ServiceUnavailable, match="not a database"):
            open_store(sqlite_url, migrate=True)

    def test_a_store_survives_a_restart_of_postgresql(self, postgresql: PostgreSQLServer, postgresql_url: str) -> None:
        with open_store(postgresql_url, migrate=True) as opened:
            opened.ping()
            postgresql.stop()
            with pytest.raises(ServiceUnavailable):
                opened.ping()
            postgresql.start()
            opened.ping()

    def test_readers_do_not_wait_for_a_writer(self, sqlite_url: str) -> None:
        with open_store(sqlite_url, migrate=True) as opened:
            queue(opened, request())
            with opened.session() as writing:
                writing.add(CollectionRun(run_id="open", kind="manual", requested_at=at(0)))
                writing.flush()
                with opened.reading() as reading:
                    assert len(reader.device_states(reading)) == 1

    def test_of_two_writers_the_next_begins_as_soon_as_the_other_is_done(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_store(sqlite_url, migrate=True) as opened, closing(beside(sqlite_url)) as other:
            other.execute("BEGIN IMMEDIATE")
            pauses: list[float] = []

            def pause(seconds: float) -> None:
                pauses.append(seconds)
                if len(pauses) == 3:
                    other.rollback()

            monkeypatch.setattr(time, "sleep", pause)
            with opened.session() as session:
                assert session.connection().exec_driver_sql("PRAGMA busy_timeout").scalar() == 1000 * LOCK_WAIT_S
            assert pauses == [TURN_S] * 3


class TestPrecedence:
    def test_a_request_is_a_queued_row_and_its_result_the_same_row(self, store: Store) -> None:
        asked = request()
        run_id = queue(store, asked)
        assert row_of(store, asked.task_id).status == "queued"
        report = write_results(store, [result(asked, "success", "hostname a\n", run_id=run_id)])
        assert report.written == [asked.task_id]
        assert count(store, DeviceBackupResult) == 1
        row = row_of(store, asked.task_id)
        assert (row.status, row.requested_at, row.run_id) == ("success", asked.requested_at, run_id)

    def test_the_same_result_again_changes_nothing(self, store: Store) -> None:
        done = collected(0, "hostname a\n")
        write_results(store, [done, done])
        before = row_of(store, done.task_id)
        again = write_results(store, [done])
        assert (again.written, again.ignored, again.changes) == ([], 1, [])
        assert row_of(store, done.task_id).recorded_at == before.recorded_at
        assert revisions(store) == [(1, "first", 1, 0)]

    @pytest.mark.parametrize(
        ("first", "second", "stands"),
        [
            ("failure", "success", "success"),
            ("success", "failure", "success"),
            ("cancelled", "success", "success"),
            ("failure", "skipped", "failure"),
            ("skipped", "failure", "skipped"),
            ("lost", "failure", "failure"),
            ("expired", "failure", "failure"),
            ("lost", "expired", "expired"),
            ("failure", "lost", "failure"),
            ("failure", "expired", "failure"),
            ("postponed", "failure", "postponed"),
            ("expired", "success", "success"),
        ],
    )
    def test_of_two_results_of_one_task(self, store: Store, first: str, second: str, stands: str) -> None:
        asked = request()
        queue(store, asked)
        for status in (first, second):
            write_results(store, [result(asked, status, *["hostname a\n"] * (status == "success"))])
        assert row_of(store, asked.task_id).status == stands
        assert count(store, DeviceBackupResult) == 1

    def test_a_result_nobody_asked_for_gets_its_row_its_device_and_its_run(self, store: Store) -> None:
        stray = collected(0, "hostname a\n", run_id="restored", task_identifier="scheduled:nightly")
        write_results(store, [stray])
        assert row_of(store, stray.task_id).run_id == "restored"
        with store.reading() as session:
            assert session.scalars(select(CollectionRun)).one().kind == "scheduled"
            assert [state.device for state in reader.device_states(session)] == ["core-sw1"]

    def test_only_queued_rows_can_be_given_up(self, store: Store) -> None:
        waiting, done = request(), request("core-sw2")
        queue(store, waiting, done)
        write_results(store, [result(done, "success", "hostname a\n")])
        with store.session() as session:
            mark_undelivered(session, {waiting.task_id: "the broker refused it", done.task_id: "no"})
            mark_lost(session, {done.task_id: "no", "unknown": "no"})
        row = row_of(store, waiting.task_id)
        assert (row.status, row.error, row.error_message) == ("failure", "internal", "the broker refused it")
        assert row_of(store, done.task_id).status == "success"

    def test_what_was_given_up_as_lost_is_mended_by_its_result(self, store: Store) -> None:
        asked = request()
        queue(store, asked)
        with store.session() as session:
            mark_lost(session, {asked.task_id: "gone"})
        write_results(store, [result(asked, "failure", error="timeout", error_message="no answer")])
        row = row_of(store, asked.task_id)
        assert (row.status, row.error, row.error_message) == ("failure", "timeout", "no answer")


class TestRevisions:
    def test_an_unchanged_device_makes_no_revision(self, store: Store) -> None:
        write_results(store, [collected(0, "hostname a\n"), collected(1, "hostname a\n")])
        assert revisions(store) == [(1, "first", 1, 0)]
        with store.reading() as session:
            found = reader.device_revisions(session, reader.find_device(session, "core-sw1"), limit=1)[0]
        assert (found.collected_at, found.confirmed_at) == (at(0), at(1))

    def test_a_change_makes_one_and_tells_its_lines(self, store: Store) -> None:
        write_results(store, [collected(0, "hostname a\nntp b\n")])
        report = write_results(store, [collected(1, "hostname a\nntp c\nntp d\n")])
        assert [(change.number, change.reason, change.added, change.removed) for change in report.changes] == [
            (2, "changed", 2, 1)
        ]

    def test_going_back_is_a_revision_of_a_text_that_is_stored_once(self, store: Store) -> None:
        for minutes, text in enumerate(["a\n", "b\n", "a\n"]):
            write_results(store, [collected(minutes, text)])
        assert [number for number, *_ in revisions(store)] == [1, 2, 3]
        assert count(store, DeviceConfig) == 2

    def test_devices_of_the_same_text_share_it(self, store: Store) -> None:
        write_results(store, [result(request(name), "success", "same\n") for name in ("a", "b", "c")])
        assert count(store, DeviceConfig) == 1

    def test_a_changed_secret_is_a_change_though_no_line_shows_it(self, store: Store) -> None:
        write_results(store, [collected(0, "secret <hidden>\n", keyed="k1", rules_digest="r")])
        write_results(store, [collected(1, "secret <hidden>\n", keyed="k2", rules_digest="r")])
        assert revisions(store)[1:] == [(2, "secret", 0, 0)]

    def test_new_rules_alone_are_told_from_a_change_of_the_device(self, store: Store) -> None:
        write_results(store, [collected(0, "a\nclock 1\n", keyed="k", rules_digest="r1")])
        write_results(store, [collected(1, "a\n", keyed="k", rules_digest="r2")])
        assert revisions(store)[1:] == [(2, "rules", 0, 1)]

    def test_new_rules_that_only_move_the_keyed_digest_make_none(self, store: Store) -> None:
        for minutes, (keyed, rules) in enumerate([("old:k1", "r1"), ("new:k2", "r2"), ("new:k2", "r2")]):
            write_results(store, [collected(minutes, "a\n", keyed=keyed, rules_digest=rules)])
        assert len(revisions(store)) == 1
        write_results(store, [collected(9, "a\n", keyed="new:k3", rules_digest="r2")])
        assert revisions(store)[1:] == [(2, "secret", 0, 0)]

    def test_a_result_overtaken_by_a_newer_one_does_not_become_the_newest_state(self, store: Store) -> None:
        late = collected(1, "older\n")
        write_results(store, [collected(0, "first\n"), collected(2, "first\n")])
        write_results(store, [late])
        assert len(revisions(store)) == 1
        row = row_of(store, late.task_id)
        assert (row.status, row.changed, row.artifacts[0]["revision"]) == ("success", False, None)
        assert count(store, DeviceConfig) == 2

    def test_a_worker_whose_clock_is_ahead_does_not_end_the_history(self, store: Store) -> None:
        ahead = datetime.now(UTC) + timedelta(days=30_000)
        write_results(store, [collected(0, "first\n", started_at=ahead, initiated_at=ahead)])
        later = result(request(requested_at=datetime.now(UTC)), "success", "second\n")
        write_results(store, [later])
        assert [number for number, *_ in revisions(store)] == [1, 2]
        with store.reading() as session:
            state = reader.device_states(session)[0]
        assert state.latest is not None
        assert state.latest.task_id == later.task_id

    def test_a_failure_leaves_the_last_good_configuration(self, store: Store) -> None:
        write_results(store, [collected(0, "good\n")])
        write_results(store, [result(request(minutes=1), "failure", "half\n", error="truncated")])
        with store.reading() as session:
            device = reader.find_device(session, "core-sw1")
            assert reader.revision(session, device, artifact="running").text == "good\n"
            state = reader.device_states(session)[0]
        assert state.latest is not None
        assert (state.latest.status, state.last_success_at) == ("failure", at(0))

    def test_each_artifact_has_revisions_of_its_own(self, store: Store) -> None:
        write_results(store, [result(request(), "success", "a\n", "b\n")])
        write_results(store, [result(request(minutes=1), "success", "a\n", "c\n")])
        with store.reading() as session:
            device = reader.find_device(session, "core-sw1")
            assert reader.artifact_names(session, device) == ["running", "part-1"]
            assert len(reader.device_revisions(session, device, limit=9, artifact="running")) == 1
            assert len(reader.device_revisions(session, device, limit=9, artifact="part-1")) == 2


class TestOriginals:
    def kept(self, store: Store) -> list[tuple[int, bytes]]:
        with store.reading() as session:
            device = reader.find_device(session, "core-sw1")
            numbers = [one.number for one in reader.device_revisions(session, device, limit=9)]
            return [
                (number, reader.original(session, device, artifact="running", number=number).sealed)
                for number in sorted(numbers)
            ]

    def test_one_that_differs_in_nothing_that_counts_is_kept_once(self, store: Store) -> None:
        for minutes in (0, 1):
            sent = artifact("a\n", original=b"sealed %d" % minutes, original_digest="k")
            write_results(store, [result(request(minutes=minutes), "success", sent)])
        assert self.kept(store) == [(1, b"sealed 0")]

    def test_the_newest_is_kept_where_nothing_tells_whether_it_differs(self, store: Store) -> None:
        for minutes in (0, 1):
            sent = artifact("a\n", original=b"sealed %d" % minutes)
            write_results(store, [result(request(minutes=minutes), "success", sent)])
        assert self.kept(store) == [(1, b"sealed 1")]

    def test_the_newest_is_kept_when_the_key_was_changed(self, store: Store) -> None:
        for minutes in (0, 1):
            sent = artifact("a\n", original=b"%d" % minutes, original_digest="k", key_id=f"key{minutes}")
            write_results(store, [result(request(minutes=minutes), "success", sent)])
        assert self.kept(store) == [(1, b"1")]

    def test_a_changed_secret_keeps_both(self, store: Store) -> None:
        for minutes in (0, 1):
            sent = artifact("a\n", original=b"%d" % minutes, original_digest=f"k{minutes}")
            write_results(store, [result(request(minutes=minutes), "success", sent)])
        assert self.kept(store) == [(1, b"0"), (2, b"1")]

    def test_no_original_is_said_so(self, store: Store) -> None:
        write_results(store, [result(request(), "success", artifact("a\n", original=b""))])
        with pytest.raises(UsageError, match="no original was kept of revision 1 of core-sw1"):
            self.kept(store)
        assert count(store, SealedOriginal) == 0


class TestHostKeys:
    def test_the_first_session_that_succeeds_pins_its_key(self, store: Store) -> None:
        write_results(store, [result(request(), "failure", host_key="ssh-ed25519 STRANGER")])
        write_results(store, [collected(1, "a\n", host_key="ssh-ed25519 AAAA")])
        write_results(store, [collected(2, "a\n", host_key="ssh-ed25519 BBBB")])
        with store.reading() as session:
            assert reader.pinned_host_keys(session, ["core-sw1", "other"]) == {"core-sw1": ("ssh-ed25519 AAAA",)}

    def test_a_forgotten_key_makes_room_for_the_next(self, store: Store) -> None:
        write_results(store, [collected(0, "a\n", host_key="ssh-ed25519 AAAA")])
        with store.session() as session:
            hostkeys.forget(session, reader.find_device(session, "core-sw1"))
        write_results(store, [collected(1, "a\n", host_key="ssh-ed25519 BBBB")])
        with store.reading() as session:
            assert reader.pinned_host_keys(session, ["core-sw1"]) == {"core-sw1": ("ssh-ed25519 BBBB",)}

    def test_a_key_that_was_refused_waits_until_it_is_accepted(self, store: Store) -> None:
        write_results(store, [collected(0, "a\n", host_key="ssh-ed25519 AAAA")])
        met = [result(request(minutes=n), "failure", error="host_key", host_key=f"ssh-rsa {n}") for n in (1, 2)]
        write_results(store, [*met, result(request(minutes=3), "failure", error="timeout")])
        with store.session() as session:
            (keys,) = hostkeys.host_keys(session, refused=True)
            assert (keys.pinned, keys.refused, keys.refused_at) == ("ssh-ed25519 AAAA", "ssh-rsa 2", keys.refused_at)
            hostkeys.accept(session, keys.device_id, keys.refused)
        with store.reading() as session:
            assert reader.pinned_host_keys(session, ["core-sw1"]) == {"core-sw1": ("ssh-rsa 2",)}
            assert hostkeys.host_keys(session, groups=["default"], refused=True) == []
            assert [keys.device for keys in hostkeys.host_keys(session, groups=["default"])] == ["core-sw1"]


class TestAnswers:
    def test_a_renamed_device_keeps_its_history(self, store: Store) -> None:
        queue(store, request("old-name", device_id="id-7"))
        write_results(store, [result(request("old-name", device_id="id-7"), "success", "a\n")])
        queue(store, request("new-name", device_id="id-7", minutes=1))
        with store.reading() as session:
            device = reader.find_device(session, "new-name")
            assert len(reader.device_revisions(session, device, limit=9)) == 1
            assert reader.find_device(session, "id-7").id == device.id
            with pytest.raises(UsageError, match="did you mean 'new-name'"):
                reader.find_device(session, "new-nam")

    def test_the_newest_request_counts_even_when_an_older_one_ends_later(self, store: Store) -> None:
        older, newer = request(), request(minutes=1)
        queue(store, older)
        queue(store, newer)
        write_results(store, [result(newer, "success", "a\n")])
        write_results(store, [result(older, "failure", error="unreachable")])
        with store.reading() as session:
            state = reader.device_states(session)[0]
        assert state.latest is not None
        assert state.latest.task_id == newer.task_id

    def test_a_run_tells_how_far_it_is(self, store: Store) -> None:
        requests = [request(f"sw{number}") for number in range(5)]
        run_id = queue(store, *requests)
        write_results(store, [result(requests[0], "success", "a\n"), result(requests[1], "failure")])
        with store.reading() as session:
            assert reader.run_progress(session, run_id) == {"queued": 3, "success": 1, "failure": 1}
            assert [row.device for row in reader.run_results(session, run_id)] == [r.device for r in requests]
            assert session.scalars(select(CollectionRun)).one().device_count == 5

    def test_a_run_of_ten_thousand_devices_is_queued_at_once(self, store: Store) -> None:
        run_id = queue(store, *[request(f"sw{number}") for number in range(10_000)])
        with store.reading() as session:
            assert reader.run_progress(session, run_id) == {"queued": 10_000}
            assert len(reader.device_states(session)) == 10_000

    def test_what_a_device_never_had_is_said_with_what_it_has(self, store: Store) -> None:
        write_results(store, [collected(0, "a\n"), result(request("never"), "failure")])
        with store.reading() as session:
            device = reader.find_device(session, "core-sw1")
            with pytest.raises(UsageError, match="no revision 7"):
                reader.revision(session, device, artifact="running", number=7)
            with pytest.raises(UsageError, match="no artifact 'startup'; it has running"):
                reader.revision(session, device, artifact="startup")
            with pytest.raises(UsageError, match="never was never backed up"):
                reader.revision(session, reader.find_device(session, "never"), artifact="running")


class TestHostileValues:
    def test_characters_no_database_holds_do_not_stop_a_batch(self, store: Store) -> None:
        odd = "bad\0name"
        row = result(
            request(odd),
            "success",
            artifact("text with \0 in it\n", name=odd, media_type=odd),
            error_message=odd,
            log=(LogLine(time=at(0), message=odd),),
            facts=CollectFacts(model=odd),
            collection_duration_ms=2**40,
        )
        write_results(store, [row])
        with store.reading() as session:
            device = reader.find_device(session, "bad\N{REPLACEMENT CHARACTER}name")
            name = reader.main_artifact(device)
            assert reader.revision(session, device, artifact=name).text == "text with \0 in it\n"

    @pytest.mark.parametrize(
        "name", ['a"b', "o'neil", "{a,b}", "[1]", "back\\slash", "50 %s", "\N{GREEK SMALL LETTER OMEGA}\N{SATELLITE}"]
    )
    def test_a_device_is_found_again_whatever_its_name(self, store: Store, name: str) -> None:
        for minutes in (0, 1):
            asked = request(name, minutes=minutes, task_id=f"{name} {minutes}")
            report = write_results(store, [result(asked, "success", "one\ntwo\n"), collected(minutes, "one\n")])
            assert len(report.written) == 2
        assert revisions(store, name) == [(1, "first", 2, 0)]
        assert count(store, Device) == 2
        assert count(store, DeviceBackupResult) == 4

    def test_an_error_of_the_database_shows_no_stored_value(self, store: Store) -> None:
        too_large = result(request(), "success", "canary-text\n", collection_duration_ms=2**70)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each database has its own
            write_results(store, [too_large])
        assert not isinstance(caught.value, ServiceUnavailable)
        assert "canary" not in str(caught.value)
        assert count(store, DeviceBackupResult) == 0


def test_postgresql_never_reads_a_table_through_to_write_a_batch(postgresql_url: str) -> None:
    """It keeps the plans it makes while tables are small: what reads through them then does so for good."""

    def scans(store: Store) -> dict[str, int]:
        with store.reading() as session:
            session.connection().exec_driver_sql("SELECT pg_stat_force_next_flush()")
        with store.reading() as session:
            told = session.connection().exec_driver_sql("SELECT relname, seq_scan FROM pg_stat_user_tables")
            return {row.relname: row.seq_scan for row in told}

    with open_store(postgresql_url, migrate=True) as store:
        before = scans(store)
        for batch in range(12):
            asked = [request(f"sw{number % 3} {number % 5} {batch % 2}", minutes=batch) for number in range(5)]
            with store.session() as session:
                queue_requests(session, open_run(session, asked_by="ann"), asked)
            write_results(store, [result(one, "success", f"{one.device} {batch}\n") for one in asked])
        more = {table: count - before[table] for table, count in scans(store).items() if count != before[table]}
    assert more == {}


def test_two_writers_of_the_same_results_make_each_row_once(store: Store) -> None:
    """Two consumers may hold the same entries; neither fails, and no revision number is given twice."""
    batches = [
        [result(request(f"sw{number}", minutes=minutes), "success", f"{minutes}\n") for number in range(10)]
        for minutes in range(5)
    ]
    failures: list[BaseException] = []
    begin = threading.Barrier(2)

    def write(order: int) -> None:
        try:
            begin.wait()
            for batch in batches:
                write_results(store, batch[::order])
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert count(store, DeviceBackupResult) == 50
    for number in range(10):
        assert [one for one, *_ in revisions(store, f"sw{number}")] == [1, 2, 3, 4, 5]


def test_every_status_has_its_place() -> None:
    """A status this release knows is never ranked by accident."""
    assert {status.value for status in Status} == {
        "queued", "success", "failure", "skipped", "cancelled", "expired", "lost", "suspect"
    }  # fmt: skip
