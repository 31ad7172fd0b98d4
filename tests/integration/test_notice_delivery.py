"""Notices arrive: by mail, over HTTP and at a program; what fails is tried again and hurts nothing else."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from devicevault.outputs.background import Outputs
from devicevault.outputs.notices.apprise_sender import masked
from devicevault.outputs.notices.delivery import JOIN_OVER, Delivery
from devicevault.outputs.notices.event import Event, Kind
from devicevault.outputs.notices.outbox import enqueue, waiting
from devicevault.outputs.notices.send import NotDelivered, send
from devicevault.outputs.progress import NOTICES, state_of
from devicevault.settings import NotifySettings, ReceiverSettings, Settings
from devicevault.store import Store, open_store
from devicevault.store.output_models import Notice, NoticeDelivery
from tests.mirrored import Vault
from tests.servers import wait_until
from tests.sinks import HttpSink, SmtpSink, http_sink, smtp_sink, text_of

pytestmark = pytest.mark.services

SECRET = "Canary-Token-4711"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with open_store(request.getfixturevalue(f"{request.param}_url"), migrate=True) as opened:
        yield opened


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Store]:
    with open_store(sqlite_url, migrate=True) as opened:
        yield opened


@pytest.fixture
def http() -> Iterator[HttpSink]:
    with http_sink() as sink:
        yield sink


@pytest.fixture
def smtp() -> Iterator[SmtpSink]:
    with smtp_sink() as sink:
        yield sink


def url_file(folder: Path, url: str) -> dict[str, str]:
    path = folder / f"{abs(hash(url))}.url"
    path.touch(mode=0o600)
    path.write_text(url + "\n")
    return {"file": str(path)}


def program(folder: Path, body: str) -> tuple[str, ...]:
    path = folder / "receive"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return (str(path),)


def event(number: int = 1, kind: Kind = Kind.CHANGED) -> Event:
    return Event(kind, f"sw{number} changed: +1 -1", datetime.now(UTC), "dmz", f"sw{number}", "-vlan 1\n+vlan 2")


def settings_for(**receivers: ReceiverSettings) -> Settings:
    return Settings(receivers=receivers)


def put(store: Store, settings: Settings, *events: Event) -> None:
    with store.session() as session:
        enqueue(session, events, settings.receivers, datetime.now(UTC))


def make_due(store: Store) -> None:
    """As if the pause after a failure, or until a digest, were over."""
    with store.session() as session:
        session.execute(update(NoticeDelivery).values(due_at=datetime.now(UTC) - timedelta(seconds=1)))


def count(store: Store, table: type[Notice] | type[NoticeDelivery]) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_mail_has_the_difference_in_it(store: Store, smtp: SmtpSink, tmp_path: Path) -> None:
    url = f"mailto://127.0.0.1:{smtp.port}/?from=vault@example.net&to=noc@example.net&mode=insecure&format=text"
    settings = settings_for(noc=ReceiverSettings(apprise=url_file(tmp_path, url)))
    put(store, settings, event())
    assert Delivery(settings).turn(store) is None
    (mail,) = smtp.messages
    assert mail["Subject"] == "DeviceVault: sw1 changed: +1 -1"
    assert "-vlan 1\n+vlan 2" in text_of(mail).replace("\r\n", "\n")
    assert "group dmz" in text_of(mail)
    assert count(store, Notice) == count(store, NoticeDelivery) == 0


def test_each_receiver_gets_each_notice_once(store: Store, http: HttpSink, tmp_path: Path) -> None:
    settings = settings_for(
        one=ReceiverSettings(apprise=url_file(tmp_path, http.url("a"))),
        two=ReceiverSettings(apprise=url_file(tmp_path, http.url("b"))),
    )
    put(store, settings, event(1), event(2))
    for _ in range(2):
        Delivery(settings).turn(store)
    assert sorted(http.titles) == [f"DeviceVault: sw{number} changed: +1 -1" for number in (1, 1, 2, 2)]
    assert http.bodies[0]["message"].endswith("-vlan 1\n+vlan 2")


def test_a_program_gets_json_and_none_of_our_variables(
    lite: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICEVAULT_DATABASE_URL", f"postgresql://vault:{SECRET}@db/vault")
    command = program(tmp_path, f"cat > {tmp_path}/got; env > {tmp_path}/env")
    settings = settings_for(ticket=ReceiverSettings(command=command))
    put(lite, settings, event(kind=Kind.FAILING))
    Delivery(settings).turn(lite)
    got = json.loads((tmp_path / "got").read_text())
    assert (got["v"], got["title"]) == (1, "DeviceVault: sw1 changed: +1 -1")
    (notice,) = got["notices"]
    assert (notice["kind"], notice["severity"], notice["device"], notice["group"]) == (
        "failing",
        "failure",
        "sw1",
        "dmz",
    )
    assert len(notice["id"]) == 32
    assert SECRET not in (tmp_path / "env").read_text()


def test_a_digest_is_one_message(lite: Store, http: HttpSink, tmp_path: Path) -> None:
    settings = settings_for(noc=ReceiverSettings(apprise=url_file(tmp_path, http.url()), digest_s=3600))
    put(lite, settings, event(1), event(2), event(3, Kind.FAILING))
    pause_s = Delivery(settings).turn(lite)
    assert pause_s is not None
    assert 3500 < pause_s <= 3600
    assert http.bodies == []
    make_due(lite)
    Delivery(settings).turn(lite)
    (body,) = http.bodies
    assert body["title"] == "DeviceVault: 2 changed, 1 failing"
    assert body["type"] == "failure"
    assert body["message"].count("+vlan 2") == 3


def test_a_storm_of_notices_is_one_message(lite: Store, http: HttpSink, tmp_path: Path) -> None:
    settings = settings_for(noc=ReceiverSettings(apprise=url_file(tmp_path, http.url())))
    put(lite, settings, *(event(number) for number in range(JOIN_OVER + 1)))
    Delivery(settings).turn(lite)
    assert http.titles == [f"DeviceVault: {JOIN_OVER + 1} changed"]


class TestFailures:
    def test_what_is_not_taken_is_tried_again_later_and_others_are_served(
        self, store: Store, http: HttpSink, tmp_path: Path
    ) -> None:
        settings = settings_for(
            bad=ReceiverSettings(command=program(tmp_path, "echo no room at all >&2; exit 3")),
            good=ReceiverSettings(apprise=url_file(tmp_path, http.url())),
        )
        put(store, settings, event(1), event(2))
        pause_s = Delivery(settings).turn(store)
        assert pause_s is not None
        assert len(http.bodies) == 2
        with store.reading() as session:
            (left,) = waiting(session)
        assert (left.receiver, left.count, left.attempts) == ("bad", 2, 1)
        assert left.error == "receive: no room at all"
        make_due(store)
        Delivery(settings).turn(store)
        with store.reading() as session:
            assert waiting(session)[0].attempts == 2
        assert len(http.bodies) == 2, "who has it is not told again"
        program(tmp_path, "exit 0")
        make_due(store)
        Delivery(settings).turn(store)
        assert count(store, Notice) == 0

    def test_a_receiver_that_takes_nothing_for_days_is_given_up(self, lite: Store, tmp_path: Path) -> None:
        settings = settings_for(bad=ReceiverSettings(command=program(tmp_path, "exit 1")))
        put(lite, settings, event())
        with lite.session() as session:
            session.execute(update(Notice).values(created_at=datetime.now(UTC) - timedelta(days=4)))
        Delivery(settings).turn(lite)
        assert count(lite, Notice) == 0

    def test_a_receiver_that_is_taken_out_of_the_settings_is_forgotten(self, lite: Store, tmp_path: Path) -> None:
        put(lite, settings_for(old=ReceiverSettings(command=("/bin/false",))), event())
        Delivery(settings_for(new=ReceiverSettings(command=("/bin/true",)))).turn(lite)
        assert count(lite, Notice) == 0

    def test_a_service_that_hangs_is_ended_in_time(self, http: HttpSink, tmp_path: Path) -> None:
        http.pause_s = 30
        receiver = ReceiverSettings(apprise=url_file(tmp_path, http.url() + "?rto=25"), timeout_s=3)
        began = time.monotonic()
        with pytest.raises(NotDelivered, match="took longer than 3 s"):
            send(receiver, [{"id": "test", **event().data}])
        assert time.monotonic() - began < 25

    def test_a_program_that_is_not_there_is_told_as_such(self) -> None:
        with pytest.raises(NotDelivered, match="can't be started: No such file"):
            send(ReceiverSettings(command=("/nowhere/at/all",)), [{"id": "test", **event().data}])

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("", "empty"),
            ("one://x two://y", "more than one"),
            (f"nosuch://{SECRET}", "none Apprise knows"),
        ],
    )
    def test_a_wrong_url_is_told_without_it(self, tmp_path: Path, url: str, told: str) -> None:
        with pytest.raises(NotDelivered, match=told) as caught:
            send(ReceiverSettings(apprise=url_file(tmp_path, url)), [{"id": "test", **event().data}])
        assert SECRET not in str(caught.value)

    def test_a_url_others_may_read_is_refused(self, tmp_path: Path) -> None:
        reference = url_file(tmp_path, "json://localhost/")
        Path(reference["file"]).chmod(0o644)
        with pytest.raises(NotDelivered, match="can't be read"):
            send(ReceiverSettings(apprise=reference), [{"id": "test", **event().data}])

    def test_a_url_can_come_from_a_variable_or_from_systemd(
        self, http: HttpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NOC_URL", http.url())
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        (tmp_path / "noc").write_text(http.url())
        for reference in ({"env": "NOC_URL"}, {"systemd": "noc"}):
            send(ReceiverSettings(apprise=reference), [{"id": "test", **event().data}])
        assert len(http.bodies) == 2

    @pytest.mark.parametrize("form", ["path", "password", "query"])
    def test_the_secrets_of_a_url_are_told_nowhere(self, lite: Store, tmp_path: Path, form: str) -> None:
        """The port is closed; what the HTTP library says of that holds the whole address."""
        url = {
            "path": f"json://127.0.0.1:1/{SECRET}",
            "password": f"json://user:{SECRET}@127.0.0.1:1/",
            "query": f"json://127.0.0.1:1/?-token={SECRET}",
        }[form]
        settings = settings_for(noc=ReceiverSettings(apprise=url_file(tmp_path, url)))
        put(lite, settings, event())
        Delivery(settings).turn(lite)
        with lite.reading() as session:
            (left,) = waiting(session)
        assert left.error
        assert SECRET not in left.error

    def test_whatever_may_be_a_token_is_masked(self) -> None:
        url = "slack://TokenAAAA/TokenBBBB/TokenCCCC/#channel"
        told = "POST https://hooks.slack.com/services/TokenAAAA/TokenBBBB/TokenCCCC failed"
        assert masked(told, url) == "POST https://hooks.slack.com/services/********/********/******** failed"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_in_the_middle_it_forgets_nothing_and_repeats_at_most_what_was_in_hand(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """Each notice is noted as taken by itself: only one can be told twice."""
    got = tmp_path / "got"
    command = program(tmp_path, f"cat >> {got}; sleep 0.2")
    settings = settings_for(ticket=ReceiverSettings(command=command))
    url = str(request.getfixturevalue(f"{kind}_url"))
    code = (
        "import sys; from devicevault.outputs.notices.delivery import Delivery\n"
        "from devicevault.settings import ReceiverSettings, Settings; from devicevault.store import open_store\n"
        "settings = Settings(receivers={'ticket': ReceiverSettings(command=(sys.argv[2],))})\n"
        "with open_store(sys.argv[1]) as store:\n"
        "    Delivery(settings).turn(store)\n"
    )
    with open_store(url, migrate=True) as store:
        put(store, settings, *(event(number) for number in range(8)))
        with subprocess.Popen([sys.executable, "-c", code, url, *command]) as process:
            wait_until(lambda: got.exists() and got.read_text().count("\n") >= 3, 60, or_say=lambda: "nothing came")
            os.kill(process.pid, signal.SIGKILL)
        Delivery(settings).turn(store)
        assert count(store, NoticeDelivery) == 0
    titles = [json.loads(line)["notices"][0]["device"] for line in got.read_text().splitlines()]
    assert sorted(set(titles)) == [f"sw{number}" for number in range(8)]
    assert len(titles) <= 9


def test_beside_a_consumer_the_whole_way(sqlite_url: str, http: HttpSink, tmp_path: Path) -> None:
    """From a stored result to the message, through every thread; a receiver that fails holds nothing up."""
    settings = Settings(
        database_url=sqlite_url,
        redis_url="redis://127.0.0.1:1/1",
        notify=NotifySettings(stale_s=0),
        receivers={"noc": ReceiverSettings(apprise=url_file(tmp_path, http.url()))},
    )
    with open_store(sqlite_url, migrate=True) as store, Outputs(settings) as outputs:
        vault = Vault(store, tmp_path / "mirror.git")

        def run(text: str) -> None:
            outputs.stored([], vault.run(["sw1"], text))

        run("a\n")
        wait_until(lambda: _has_begun(store), 30, or_say=lambda: "the watch did not begin")
        run("b\n")
        wait_until(lambda: len(http.bodies) == 1, 60, or_say=lambda: "no message")
        assert http.titles == ["DeviceVault: sw1 changed: +1 -1"]
        http.code = 500
        run("c\n")
        wait_until(lambda: http.asked >= 2, 60, or_say=lambda: "it was not tried")
        assert vault.run(["sw1"], "d\n").written
        with store.reading() as session:
            assert session.scalar(select(func.count()).select_from(NoticeDelivery)) == 1


def _has_begun(store: Store) -> bool:
    with store.reading() as session:
        return bool(state_of(session, NOTICES).head)


def test_a_program_is_run_with_a_private_umask(tmp_path: Path) -> None:
    send(ReceiverSettings(command=program(tmp_path, f"touch {tmp_path}/made")), [{"id": "test", **event().data}])
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) & 0o077 == 0
