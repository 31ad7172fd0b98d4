"""What a backup costs, in counts and never in times: a change that makes it dearer is found here.

Each bound is what it takes today with a little room; whoever needs more raises it on purpose.
"""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from redis import Redis
from sqlalchemy import event

from devicevault import messages
from devicevault.collector.access import Access
from devicevault.collector.collect import CollectorContext, collect
from devicevault.collector.normalise import normalise
from devicevault.collector.redact import FILTER
from devicevault.collector.scan import Scan, spans_lines
from devicevault.collector.seal import Sealer
from devicevault.collector.session import Reading
from devicevault.collector.worker import Worker
from devicevault.confirmations import Confirmations
from devicevault.credentials import CredentialStore
from devicevault.daemons import intake
from devicevault.daemons.rules import Rules
from devicevault.demo.configurations import configuration_for
from devicevault.messages import CollectFacts, CollectResult
from devicevault.platforms import Platforms
from devicevault.platforms.loader import platform_names
from devicevault.platforms.page import ArtifactSource
from devicevault.settings import Settings, VaultSettings
from devicevault.store import Store, WriteReport, open_run, open_store, queue_requests, schema, write_results
from devicevault.stream import decode, encode, entry, publish
from tests.results import request, result

BATCH = 40
TEXT = configuration_for("cisco_ios", "core-sw1", size_kb=20)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Every device's first result is stored."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('cost')}/devicevault.db", migrate=True) as opened:
        write_results(opened, [result(request(f"sw{n}"), "success", f"{TEXT}! {n}\n") for n in range(BATCH)])
        yield opened


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Every statement the block executes."""
    found: list[str] = []

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(store.engine, "before_cursor_execute", executed)
    try:
        yield found
    finally:
        event.remove(store.engine, "before_cursor_execute", executed)


def statements_for(store: Store, devices: int, minutes: float, version: str) -> int:
    asked = [request(f"sw{n}", minutes=minutes) for n in range(devices)]
    with store.session() as session:
        queue_requests(session, open_run(session, asked_by="ann"), asked)
    results = [result(one, "success", f"{TEXT}! {n}{version}\n") for n, one in enumerate(asked)]
    with statements(store) as found:
        write_results(store, results)
    return len(found)


@pytest.mark.parametrize(("version", "at_most", "minutes"), [("", 14, 10), (" new", 19, 30)])
def test_statements_of_a_batch_do_not_grow_with_its_results(
    store: Store, version: str, at_most: int, minutes: float
) -> None:
    """Unchanged, and with a new text."""
    one = statements_for(store, 1, minutes, version)
    many = statements_for(store, BATCH, minutes + 1, version + version)
    assert one == many <= at_most


def test_no_question_of_a_batch_reads_a_whole_table(store: Store) -> None:
    """With hundreds of thousands of rows that would be the end of it."""
    asked: list[tuple[str, Any]] = []

    def executed(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", executed)
    try:
        write_results(store, [result(request(f"sw{n}", minutes=50), "success", f"{TEXT}! {n} 50\n") for n in range(3)])
    finally:
        event.remove(store.engine, "before_cursor_execute", executed)
    with store.reading() as session:
        plans = [
            str(row.detail)
            for statement, parameters in asked
            for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    # Read through are only the keys themselves, and what was found by them.
    assert {plan.split()[1] for plan in plans if plan.startswith("SCAN")} == {"json_each", "anon_1"}
    assert len(asked) >= 5
    assert any("USING INDEX" in plan for plan in plans)


def test_a_text_that_came_compressed_is_stored_as_it_came(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = encode(result(request("sw0", minutes=99), "success", f"{TEXT}! compressed\n"))
    for module in (messages, entry):
        monkeypatch.setattr(module, "compress", lambda *_: pytest.fail("it was compressed once more"))
    arrived = decode({name.encode(): value for name, value in fields.items()})
    assert arrived.artifacts[0].compressed == fields["device_config"]
    write_results(store, [arrived])


def test_so_many_bytes_of_texts_are_written_in_one_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are once decompressed: what makes the lines of all changed texts be counted must end in time."""
    monkeypatch.setattr(intake, "TEXTS_AT_ONCE_BYTES", 2 * len(TEXT))
    written: list[int] = []

    def write(_store: Store, results: Sequence[CollectResult], **_: Any) -> WriteReport:
        written.append(len(results))
        return WriteReport()

    monkeypatch.setattr(intake, "write_results", write)
    reader: Any = SimpleNamespace(acknowledge=lambda _: None, trim=lambda: 0, memory_runs_low=False)
    patience: Any = SimpleNamespace(insist=lambda call: call())
    rules = Rules.from_settings(Settings(vault=VaultSettings(originals="plain")))
    taking = intake.Intake(reader, rules, patience, lambda *_: None)
    fields = [encode(result(request(f"sw{n}"), "success", TEXT)) for n in range(5)]
    raw = [{name.encode(): value for name, value in each.items()} for each in fields]
    assert taking.take(store, [entry.Entry(f"{n}-0", each) for n, each in enumerate(raw)])
    assert written == [2, 2, 1]


def test_what_a_database_refuses_is_searched_for_without_an_exception_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep whatever was in memory when it was raised, once for each half of a half."""
    in_hand: list[bool] = []

    def write(_store: Store, results: Sequence[CollectResult], **_: Any) -> WriteReport:
        in_hand.append(sys.exc_info()[0] is not None)
        if any(each.device == "sw3" for each in results):
            raise ValueError("too large a number")
        return WriteReport()

    monkeypatch.setattr(intake, "write_results", write)
    monkeypatch.setattr(intake, "mark_lost", lambda *_: None)
    set_aside: list[str] = []
    reader: Any = SimpleNamespace(
        acknowledge=lambda _: None,
        trim=lambda: 0,
        memory_runs_low=False,
        dead_stream="dead",
        dead_letter=lambda each, _: set_aside.append(each.text("device")),
    )
    patience: Any = SimpleNamespace(insist=lambda call: call())
    rules = Rules.from_settings(Settings(vault=VaultSettings(originals="plain")))
    taking = intake.Intake(reader, rules, patience, lambda *_: None)
    fields = [encode(result(request(f"sw{n}"), "success", TEXT)) for n in range(8)]
    raw = [{name.encode(): value for name, value in each.items()} for each in fields]
    nowhere: Any = SimpleNamespace(session=nullcontext)
    assert taking.take(nowhere, [entry.Entry(f"{n}-0", each) for n, each in enumerate(raw)])
    assert set_aside == ["sw3"]
    assert len(in_hand) == 7
    assert not any(in_hand)


def test_a_workers_connection_to_redis_keeps_little_memory(tmp_path: Path) -> None:
    """Each session has one, and redis-py fills as much as it may ever read at once."""
    credentials = tmp_path / "credentials.toml"
    credentials.write_text("")
    credentials.chmod(0o600)
    worker = Worker.from_settings(Settings(vault=VaultSettings(originals="plain"), credentials_file=credentials))
    connection: Any = worker.redis.connection_pool.make_connection()
    assert len(connection._parser._buffer) <= 4096


def test_what_was_read_is_let_go_before_the_next_artifact_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device takes its time, and a hundred sessions wait at once."""
    read: list[weakref.ref[Reading]] = []
    held: list[int] = []

    class Session:
        def read(self, source: ArtifactSource) -> Reading:
            held.append(sum(earlier() is not None for earlier in read))
            reading = Reading(source, TEXT.encode(), normalise(page, TEXT), "whole")
            read.append(weakref.ref(reading))
            return reading

        def facts(self) -> CollectFacts:
            held.append(sum(earlier() is not None for earlier in read))
            return CollectFacts()

    page = Platforms.load().get("cisco_ios")
    monkeypatch.setattr(Access, "session", lambda *_: nullcontext(Session()))
    context = CollectorContext(Settings(), CredentialStore(tmp_path, {}), Platforms.load(), Sealer((), None))
    collected = collect(request(), context)
    assert [artifact.text for artifact in collected.artifacts] == [normalise(page, TEXT).text] * len(read)
    assert held == [0] * (len(page.artifacts) + 1)


def test_statements_of_a_dispatch_do_not_grow_with_its_devices(store: Store) -> None:
    def queue(devices: int) -> int:
        with statements(store) as found, store.session() as session:
            run_id = open_run(session, asked_by="ann")
            queue_requests(session, run_id, [request(f"new{devices}-{n}") for n in range(devices)])
        return len(found)

    assert queue(BATCH) == queue(2)


def test_an_unchanged_backup_takes_less_than_a_kilobyte(store: Store) -> None:
    def size() -> int:
        with store.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())

    statements_for(store, BATCH, 60, "same")
    before, times = size(), 8
    for time in range(times):
        statements_for(store, BATCH, 61 + time, "same")
    assert (size() - before) / (times * BATCH) < 1000


def test_a_result_is_one_command_to_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Redis()
    commands: list[str] = []

    def execute(word: str, *_: Any, **__: Any) -> bytes:
        commands.append(word)
        return b"1-0"

    monkeypatch.setattr(client, "execute_command", execute)
    publish(client, "device:results", result(request(), "success", TEXT))
    assert commands == ["XADD"]


class Channel:
    """An AMQP channel that counts what it is given."""

    def __init__(self) -> None:
        self.events: dict[str, set[Any]] = {"basic_ack": set(), "basic_nack": set()}
        self.answers: list[tuple[str, int, bool]] = []
        self.connection = self
        self.published = self.waits = 0

    def confirm_select(self) -> None: ...

    def basic_publish(self, _message: str) -> None:
        self.published += 1

    def drain_events(self, timeout: float) -> None:
        assert timeout > 0
        self.waits += 1
        kind, tag, multiple = self.answers.pop(0)
        for told in self.events[kind]:
            told(tag, multiple)


def send(channel: Channel, *keys: str) -> Confirmations:
    confirmations = Confirmations(channel)
    for key in keys:
        confirmations.begin(key)
        channel.basic_publish("request")
    return confirmations


def test_a_hundred_requests_are_waited_for_together() -> None:
    channel = Channel()
    confirmations = send(channel, *(f"task-{n}" for n in range(100)))
    assert (channel.published, channel.waits) == (100, 0)
    channel.answers = [("basic_ack", 100, True)]
    confirmations.wait(10)
    assert (confirmations.missing, channel.waits) == (set(), 1)


def test_what_is_refused_or_not_confirmed_is_missing() -> None:
    channel = Channel()
    confirmations = send(channel, "a", "b", "c")
    channel.answers = [("basic_ack", 2, False), ("basic_nack", 3, False)]
    with pytest.raises(Exception, match="refused"):
        confirmations.wait(10)
    assert confirmations.missing == {"a", "c"}


def test_secrets_are_looked_for_on_few_lines_and_hardly_ever_in_the_whole_text() -> None:
    # A private key alone spans lines; a class of all signs but a line end does not.
    assert [rule.pattern.pattern[:9] for rule in FILTER if spans_lines(rule.pattern.pattern)] == ["-----BEGI"]
    assert not spans_lines(r"[^\n]+ [^'\n]")
    assert spans_lines(r"[^\n]\n")
    text = configuration_for("cisco_ios", "core-sw1", size_kb=100)
    scan, looked_at = Scan(text), 0
    rules = (*Platforms.load().get("cisco_ios").secrets, *FILTER)
    for rule in rules:
        looked_at += sum(1 for _ in scan.matches(rule.pattern))
    # Thousands of lines are a few dozen kinds of lines: whether a rule's word is there at all is looked up in those.
    assert len(scan._kinds) < len(text) / 20
    assert looked_at < len(rules)


def test_a_text_made_by_hiding_is_searched_like_a_new_one() -> None:
    text = "enable secret 5 abc\ninterface Eth1/1\n"
    hidden = text.replace("abc", "\x00")
    pattern = Platforms.load().get("cisco_ios").secrets[0].pattern
    made, new = Scan(hidden, made_from=Scan(text)), Scan(hidden)
    assert [match.span() for match in made.matches(pattern)] == [match.span() for match in new.matches(pattern)] != []


def modules_of(code: str) -> set[str]:
    code += "\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_a_command_that_reads_imports_neither_alembic_nor_celery() -> None:
    imported = modules_of("import devicevault.cli.status, devicevault.cli.standing, devicevault.store.reader")
    assert not {"alembic", "celery", "kombu", "netmiko", "asyncssh", "prometheus_client"} & imported


def test_the_command_itself_imports_little() -> None:
    assert sum(name.startswith("devicevault") for name in modules_of("import devicevault.cli")) <= 12


def test_the_versions_in_the_files_names_are_alembics() -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    assert schema.versions() == tuple(sorted(script.revision for script in scripts.walk_revisions()))
    assert schema.newest() == scripts.get_current_head()


def test_names_of_platforms_are_those_of_their_pages(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("no page at all")
    assert platform_names(tmp_path) == tuple(sorted({*Platforms.load().names(), "own"}))
