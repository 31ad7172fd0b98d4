"""Pauses, cancellations and dead letters in a real Redis, and the commands that make them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from devicevault import names, steering
from devicevault.cli import main
from devicevault.errors import ServiceUnavailable, UsageError
from devicevault.settings import ConsumerSettings
from devicevault.store import open_run, open_store, queue_requests, reader
from devicevault.stream import DeadLetters, ResultReader, connect_redis, decode, encode, publish
from devicevault.stream.entry import Entry
from tests.results import artifact, request, result
from tests.servers import free_port

pytestmark = pytest.mark.services

STREAM = names.RESULTS_STREAM
DEAD = STREAM + names.DEAD_LETTER_SUFFIX
CANARY = "cAnArY"

Run = Callable[..., Result]


@pytest.fixture
def run(redis_url: str, sqlite_url: str, tmp_path: Path) -> Run:
    inventory = tmp_path / "devices.toml"
    inventory.write_text('[groups.dmz]\n[devices.fw1]\naddress = "192.0.2.1"\nplatform = "frr"\ngroup = "dmz"\n')
    environ = {
        "DEVICEVAULT_CONFIG": None,
        "DEVICEVAULT_REDIS_URL": redis_url,
        "DEVICEVAULT_DATABASE_URL": sqlite_url,
        "DEVICEVAULT_INVENTORY__PATH": str(inventory),
        "SUDO_USER": "ann",
    }

    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environ, catch_exceptions=False)

    return run_command


def set_aside(client: Redis, reason: str = "v: message version 7", **fields: Any) -> str:
    """One result made a dead letter as the consumer makes it; its id there."""
    entries = ResultReader(client, STREAM, "here", ConsumerSettings(block_ms=10))
    entries.ensure_group()
    sent = result(request("fw1"), "success", artifact(f"secret {CANARY}\n", original=CANARY.encode()))
    entry: dict[Any, Any] = {**encode(sent), **fields}
    client.xadd(STREAM, entry)
    (read,) = entries.read()
    entries.dead_letter(read, reason)
    newest: Any = client.xrevrange(DEAD, count=1)
    return str(newest[0][0].decode())


class TestPause:
    def test_a_paused_group_is_told_with_who_and_since_when_until_it_goes_on(self, client: Redis, run: Run) -> None:
        before = datetime.now(UTC) - timedelta(seconds=1)
        assert "no group is paused" in run("pause").stdout
        assert run("pause", "dmz").exit_code == 0
        assert steering.is_paused(client, "dmz")
        assert not steering.is_paused(client, "default")
        told = json.loads(run("pause", "--json").stdout)
        assert told["dmz"]["by"] == "ann"
        assert before < datetime.fromisoformat(told["dmz"]["since"]) < datetime.now(UTC) + timedelta(seconds=1)
        run("pause", "dmz")
        assert json.loads(run("pause", "--json").stdout) == told  # who paused it first
        assert run("resume", "dmz").stdout == "dmz: goes on\n"
        assert run("resume", "dmz").stdout == "dmz: was not paused\n"
        assert not steering.is_paused(client, "dmz")

    def test_a_mistyped_group_is_not_paused(self, client: Redis, run: Run) -> None:
        found = run("pause", "dmx")
        assert found.exit_code == 2
        assert "did you mean 'dmz'" in found.stderr
        assert steering.paused_groups(client) == {}

    def test_a_pause_set_by_hand_counts_whatever_it_says(self, client: Redis, run: Run) -> None:
        for group, value in (("a", b""), ("b", b"[1]"), ("c", b"\xff")):
            client.hset(names.PAUSED_GROUPS, group, value)
        assert steering.paused_groups(client) == dict.fromkeys("abc", steering.Pause())
        assert run("resume", "a", "b", "c").exit_code == 0

    def test_redis_away_is_told_with_75(self, run: Run, sqlite_url: str) -> None:
        environ = {"DEVICEVAULT_REDIS_URL": f"redis://127.0.0.1:{free_port()}/1", "DEVICEVAULT_CONFIG": None}
        for command in (("pause", "dmz"), ("resume", "dmz"), ("deadletter", "list")):
            found = CliRunner().invoke(main, command, env=environ, catch_exceptions=False)
            assert found.exit_code == 75, found.output


class TestCancel:
    def queue(self, database_url: str, *devices: str) -> tuple[str, list[str]]:
        moment = datetime.now(UTC)
        requests = [request(device, requested_at=moment, expires_at=moment + timedelta(hours=6)) for device in devices]
        with open_store(database_url, migrate=True) as store, store.session() as session:
            run_id = open_run(session, asked_by="ann")
            queue_requests(session, run_id, requests)
        return run_id, [one.task_id for one in requests]

    def test_the_rows_end_and_the_workers_are_told(self, client: Redis, run: Run, sqlite_url: str) -> None:
        run_id, task_ids = self.queue(sqlite_url, "a", "b")
        other_id, (other,) = self.queue(sqlite_url, "c")
        found = run("cancel", run_id[:8])
        assert found.stdout == f"run {run_id[:8]}: 2 of 2 cancelled\n"
        assert all(steering.is_cancelled(client, task_id) for task_id in task_ids)
        assert not steering.is_cancelled(client, other)
        listed = {one["run_id"]: one["statuses"] for one in json.loads(run("runs", "--json").stdout)}
        assert listed == {run_id: {"cancelled": 2}, other_id: {"queued": 1}}
        assert "cancelled by ann" in run("runs", run_id).stdout
        assert "2 cancelled" in run("runs").stdout

    def test_the_word_to_the_workers_ends_when_no_message_can_be_left(
        self, client: Redis, run: Run, sqlite_url: str
    ) -> None:
        run_id, (task_id,) = self.queue(sqlite_url, "a")
        run("cancel", run_id)
        left: Any = client.ttl(names.CANCELLED_PREFIX + task_id)
        assert 6 * 3600 < left <= 7 * 3600

    def test_while_redis_is_away_no_row_says_cancelled(self, sqlite_url: str) -> None:
        run_id, _ = self.queue(sqlite_url, "a")
        environ = {
            "DEVICEVAULT_CONFIG": None,
            "DEVICEVAULT_DATABASE_URL": sqlite_url,
            "DEVICEVAULT_REDIS_URL": f"redis://127.0.0.1:{free_port()}/1",
        }
        found = CliRunner().invoke(main, ["cancel", run_id], env=environ, catch_exceptions=False)
        assert found.exit_code == 75
        with open_store(sqlite_url) as store, store.reading() as session:
            assert reader.run_progress(session, run_id) == {"queued": 1}

    def test_a_run_nobody_knows_is_a_usage_error(self, run: Run, sqlite_url: str) -> None:
        self.queue(sqlite_url, "a")
        assert run("cancel", "nope").exit_code == 2
        assert run("runs", "nope").exit_code == 2


def test_a_done_task_is_known_as_done_for_a_while(client: Redis) -> None:
    assert not steering.is_done(client, "t1")
    steering.mark_done(client, "t1", keep_s=60)
    assert steering.is_done(client, "t1")
    left: Any = client.ttl(names.DONE_PREFIX + "t1")
    assert 0 < left <= 60


def test_steering_says_when_redis_does_not_answer() -> None:
    with connect_redis(f"redis://127.0.0.1:{free_port()}/1") as nobody:
        for ask in (
            lambda: steering.is_paused(nobody, "dmz"),
            lambda: steering.is_cancelled(nobody, "t1"),
            lambda: steering.cancel_tasks(nobody, ["t1"], keep_s=1),
            lambda: steering.mark_done(nobody, "t1", keep_s=1),
        ):
            with pytest.raises(ServiceUnavailable):
                ask()


class TestDeadLetters:
    def test_the_reason_is_told_and_no_text_of_a_configuration(self, client: Redis, run: Run) -> None:
        letter_id = set_aside(client, unrelated=CANARY, log=json.dumps([{"message": CANARY}]))
        for command in (["list"], ["list", "--json"], ["show", letter_id], ["show", letter_id, "--json"]):
            shown = run("deadletter", *command)
            assert shown.exit_code == 0
            assert "message version 7" in shown.stdout
            assert CANARY not in shown.stdout
        hidden = json.loads(run("deadletter", "show", letter_id, "--json").stdout)["hidden"]
        assert hidden.keys() == {"device_config", "original:0", "log", "facts", "artifacts", "unrelated"}
        assert hidden["original:0"] == len(CANARY)

    def test_one_put_back_is_the_entry_it_was(self, client: Redis, run: Run) -> None:
        kept, retried = set_aside(client), set_aside(client)
        before: Any = client.xrange(DEAD, retried, retried)
        assert "1 put back" in run("deadletter", "retry", retried).stdout
        assert [letter.id for letter in DeadLetters(client, STREAM).newest_first()] == [kept]
        found: Any = client.xrevrange(STREAM, count=1)
        fields = {name: value for name, value in before[0][1].items() if not name.startswith(b"dead_")}
        assert found[0][1] == fields
        assert decode(Entry("1-0", found[0][1])).device == "fw1"

    def test_all_of_them_are_put_back_in_their_order(self, client: Redis, run: Run) -> None:
        for number in range(25):
            set_aside(client, device=f"sw{number}".encode())
        client.delete(STREAM)
        assert "25 put back" in run("deadletter", "retry", "--all").stdout
        found: Any = client.xrange(STREAM)
        assert [fields[b"device"].decode() for _, fields in found] == [f"sw{number}" for number in range(25)]
        assert client.xlen(DEAD) == 0

    def test_what_is_dropped_is_gone(self, client: Redis, run: Run) -> None:
        kept, dropped = set_aside(client), set_aside(client)
        assert run("deadletter", "drop", dropped).stdout == "1 dropped\n"
        assert [letter.id for letter in DeadLetters(client, STREAM).newest_first()] == [kept]
        assert run("deadletter", "drop", "--all").stdout == "1 dropped\n"
        assert run("deadletter", "list").stdout == "no dead letters\n"

    def test_an_id_that_is_none_touches_nothing(self, client: Redis, run: Run) -> None:
        set_aside(client)
        for command in ("show", "retry", "drop"):
            for wrong in ("1-1", "+", "abc", "99999999999999999999-0"):
                assert run("deadletter", command, wrong).exit_code == 2
        assert run("deadletter", "drop").exit_code == 2
        assert len(DeadLetters(client, STREAM)) == 1

    def test_it_pages_through_many(self, client: Redis) -> None:
        for number in range(25):
            client.xadd(DEAD, {"n": number})
        letters = list(DeadLetters(client, STREAM).newest_first())
        assert len({letter.id for letter in letters}) == 25
        assert letters[0].reason == "no reason told"

    def test_those_set_aside_long_ago_are_pruned(self, client: Redis) -> None:
        before = datetime(2026, 5, 4, tzinfo=UTC)
        first_ms = int(before.timestamp() * 1000) - 25
        for number in range(50):
            client.xadd(DEAD, {"n": "12345"}, id=f"{first_ms + number}-0")
        letters = DeadLetters(client, STREAM)
        assert letters.expire(before, dry_run=True) == (25, 25 * len("n12345"))
        assert letters.expire(before) == (25, 25 * len("n12345"))
        assert letters.expire(before) == (0, 0)
        assert min(letter.set_aside_at for letter in letters.newest_first()) == before

    def test_an_entry_of_a_year_no_calendar_has_is_shown(self, client: Redis) -> None:
        client.xadd(DEAD, {"n": 1}, id="9223372036854775807-0")
        assert len(list(DeadLetters(client, STREAM).newest_first())) == 1

    def test_one_without_a_field_of_its_own_can_not_be_put_back(self, client: Redis) -> None:
        entry: Any = client.xadd(DEAD, {"dead_reason": "deleted"})
        with pytest.raises(UsageError):
            DeadLetters(client, STREAM).retry(entry.decode())
        assert len(DeadLetters(client, STREAM)) == 1
        assert client.exists(STREAM) == 0

    def test_publishing_goes_on_beside_them(self, client: Redis) -> None:
        set_aside(client)
        publish(client, STREAM, result(request(), "failure"))
        assert client.xlen(DEAD) == 1
