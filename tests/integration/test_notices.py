"""People are told once of each transition, whatever restarts in between, and only those who asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import delete, func, select, update

from devicevault.heartbeat import beat
from devicevault.inventory import Device as InventoryDevice
from devicevault.inventory import Inventory
from devicevault.names import WORKERS
from devicevault.outputs.notices import changes
from devicevault.outputs.notices.outbox import due_deliveries
from devicevault.outputs.notices.watch import Watch
from devicevault.outputs.progress import MIRROR, note_failure, note_success
from devicevault.settings import MirrorSettings, NotifySettings, ReceiverSettings, Settings
from devicevault.store import open_store
from devicevault.store.models import Device, DeviceBackupResult, DeviceRevision
from devicevault.store.output_models import Notice, NoticeCondition, NoticeDelivery
from devicevault.store.suspicion import accept
from tests.mirrored import Vault
from tests.results import artifact

pytestmark = pytest.mark.services

FAR_FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
LONG = "interface 1\n" * 50


class Notified(Vault):
    """A vault whose notices are looked at."""

    redis_url = "redis://127.0.0.1:1/1"
    inventory: Inventory | None = None
    receivers: Mapping[str, ReceiverSettings] = MappingProxyType({"noc": ReceiverSettings(command=("/bin/true",))})
    notify = NotifySettings(stale_s=0)
    mirror_settings = MirrorSettings()

    def watch(self) -> Watch:
        """As a consumer that just started makes it."""
        settings = Settings(
            redis_url=self.redis_url, receivers=dict(self.receivers), notify=self.notify, mirror=self.mirror_settings
        )
        return Watch(settings, lambda settings: self.inventory)

    def told(self, receiver: str = "noc") -> list[dict[str, Any]]:
        """What a receiver is to be sent since it was asked last, by a consumer that just started."""
        watch = self.watch()
        while watch.turn(self.store) == 0.0:
            pass
        with self.store.session() as session:
            found = [one for one in due_deliveries(session, FAR_FUTURE, limit=100_000) if one.receiver == receiver]
            session.execute(delete(NoticeDelivery).where(NoticeDelivery.target == receiver))
        return [notice for one in found for notice in one.notices]

    def kinds(self, receiver: str = "noc") -> list[str]:
        return [notice["kind"] for notice in self.told(receiver)]


@pytest.fixture(params=["sqlite", "postgresql"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notified]:
    with open_store(request.getfixturevalue(f"{request.param}_url"), migrate=True) as store:
        made = Notified(store, tmp_path / "mirror.git")
        assert made.told() == []
        yield made


@pytest.fixture
def lite(sqlite_url: str, tmp_path: Path) -> Iterator[Notified]:
    with open_store(sqlite_url, migrate=True) as store:
        made = Notified(store, tmp_path / "mirror.git")
        assert made.told() == []
        yield made


def inventory(*names: str, group: str = "dmz") -> Inventory:
    return Inventory(
        Path("devices.toml"), [InventoryDevice(name, name, "192.0.2.1", "noop", group=group) for name in names]
    )


class TestChanged:
    def test_a_change_is_told_once_with_its_difference(self, vault: Notified) -> None:
        vault.run(["sw1"], "hostname a\nvlan 1\n")
        assert vault.told() == [], "a first backup changes nothing"
        vault.run(["sw1"], "hostname a\nvlan 2\n", facts={"author": "alice", "authored_at": "05:58"})
        (notice,) = vault.told()
        assert notice["kind"] == "changed"
        assert notice["title"] == "sw1 changed by alice: +1 -1"
        assert notice["diff"].splitlines()[2:] == ["@@ -1,2 +1,2 @@", " hostname a", "-vlan 1", "+vlan 2"]
        assert (notice["group"], notice["device"], notice["revision"]) == ("dmz", "sw1", 2)
        assert vault.told() == []

    def test_a_difference_is_cut_where_it_is_too_long(self, lite: Notified) -> None:
        lite.run(["sw1"], "x\n")
        lite.run(["sw1"], "".join(f"line {number}\n" for number in range(5000)) + "y" * 5000)
        (notice,) = lite.told()
        assert notice["diff_is_cut"]
        assert len(notice["diff"].splitlines()) == 200
        assert "devicevault diff sw1" in notice["text"]
        assert len(notice["text"]) < 200 * 301

    def test_a_changed_secret_is_told_without_any_line(self, lite: Notified) -> None:
        for keyed in ("b:1", "b:2"):
            lite.run(["sw1"], artifact("secret <hidden>\n", name="running", original_digest=keyed), rules_digest="r")
        (notice,) = lite.told()
        assert notice["title"] == "sw1: a hidden secret changed"
        assert notice["diff"] == ""

    def test_what_changed_before_notices_were_switched_on_is_not_told(self, lite: Notified) -> None:
        lite.receivers = {}
        lite.watch().turn(lite.store)
        lite.run(["sw1"], "a\n")
        lite.run(["sw1"], "b\n")
        lite.receivers = Notified.receivers
        assert lite.told() == []
        lite.run(["sw1"], "c\n")
        assert lite.kinds() == ["changed"]

    def test_a_crash_before_the_notice_was_written_forgets_nothing(self, lite: Notified) -> None:
        """Whoever looks next finds the revision, however many there are by then."""
        lite.run(["sw1"], "a\n")
        lite.run(["sw1"], "b\n")
        lite.run(["sw1"], "c\n")
        assert lite.kinds() == ["changed", "changed"]

    def test_more_changes_than_fit_one_turn_are_told_in_the_next_ones(
        self, lite: Notified, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(changes, "CHANGES_AT_ONCE", 3)
        names = [f"sw{number}" for number in range(8)]
        lite.run(names, "a\n")
        lite.run(names, "b\n")
        assert lite.watch().turn(lite.store) == 0.0
        assert [notice["device"] for notice in lite.told()] == names
        assert lite.told() == []

    def test_new_rules_alone_make_no_notice_and_no_change_over_1000_devices(self, lite: Notified) -> None:
        """The page takes the clock out now: every text is another one, and nothing of it is a device's doing."""
        names = [f"sw{number}" for number in range(1000)]
        before = artifact(f"clock 12:00\n{LONG}", name="running", original_digest="hmac:old-basis:1")
        after = artifact(LONG, name="running", original_digest="hmac:new-basis:2")
        lite.run(names, before, rules_digest="old page")
        lite.told()
        report = lite.run(names, after, rules_digest="new page")
        assert len(report.changes) == 1000
        assert {change.reason for change in report.changes} == {"rules"}
        assert report.suspects == {}
        assert lite.told() == []
        # The new texts are the ones that later readings are compared with.
        assert lite.run(names[:50], after, rules_digest="new page").changes == []
        lite.run(
            names[:1],
            artifact(LONG + "more\n", name="running", original_digest="hmac:new-basis:3"),
            rules_digest="new page",
        )
        assert lite.kinds() == ["changed"]


class TestConditions:
    def fail(self, vault: Notified, times: int = 1, **fields: Any) -> None:
        for _ in range(times):
            vault.run(["sw1"], status="failure", **{"error": "timeout", "error_message": "it hung", **fields})

    def test_failing_is_told_after_so_many_in_a_row_and_recovered_once(self, vault: Notified) -> None:
        vault.run(["sw1"], LONG)
        self.fail(vault, 2)
        assert vault.told() == []
        self.fail(vault)
        (notice,) = vault.told()
        assert notice["kind"] == "failing"
        assert "3 failures in a row; it hung" in notice["text"]
        self.fail(vault, 4)
        assert vault.told() == []
        vault.ask(["sw1"])  # the next one waits in its queue: nothing is known of it yet
        assert vault.told() == []
        vault.run(["sw1"], LONG)
        assert vault.kinds() == ["recovered"]
        vault.run(["sw1"], LONG)
        assert vault.told() == []
        self.fail(vault, 3)
        assert vault.kinds() == ["failing"]

    def test_another_host_key_is_told_at_once_and_not_as_failing_too(self, lite: Notified) -> None:
        lite.run(["sw1"], LONG)
        self.fail(lite, 5, error="host_key", error_message="its key is another one")
        (notice,) = lite.told()
        assert (notice["kind"], notice["text"]) == ("host_key", "its key is another one")
        lite.ask(["sw1"])
        assert lite.told() == []
        lite.run(["sw1"], LONG)
        assert lite.kinds() == ["recovered"]

    def test_suspect_is_told_once_until_it_is_accepted(self, lite: Notified) -> None:
        lite.run(["sw1"], LONG)
        lite.run(["sw1"], "cut\n")
        (notice,) = lite.told()
        assert notice["kind"] == "suspect"
        assert "shrank" in notice["text"]
        lite.run(["sw1"], "cut\n")
        assert lite.told() == []
        with lite.store.session() as session:
            accept(session, session.scalars(select(Device)).one(), by="ann")
        assert lite.kinds() == ["changed"]

    def test_stale_is_told_when_the_last_good_backup_is_too_old(self, lite: Notified) -> None:
        lite.notify = NotifySettings(stale_s=3600)
        lite.run(["sw1"], LONG)
        (notice,) = lite.told()
        assert notice["kind"] == "stale"
        assert "2026-05-04" in notice["text"]
        assert lite.told() == []
        with lite.store.session() as session:
            session.execute(update(DeviceBackupResult).values(started_at=datetime.now(UTC)))
        assert lite.kinds() == ["recovered"]

    def test_a_device_that_nobody_ever_asked_for_is_stale_after_the_same_time(self, vault: Notified) -> None:
        vault.notify = NotifySettings(stale_s=3600)
        vault.inventory = inventory("sw1", "sw2")
        assert vault.told() == [], "its time begins when it is seen first"
        with vault.store.session() as session:
            noted = update(NoticeCondition).values(since=datetime.now(UTC) - timedelta(hours=2))
            session.execute(noted.where(NoticeCondition.subject == "sw1"))
        (notice,) = vault.told()
        assert (notice["kind"], notice["device"], notice["group"]) == ("stale", "sw1", "dmz")
        assert notice["text"] == "it was never asked for; run: devicevault collect sw1"
        assert vault.told() == []
        vault.run(["sw1"], status="failure", error="timeout")
        assert vault.told() == [], "asked for, and not backed up yet"
        vault.run(["sw1"], "hostname sw1\n", started_at=datetime.now(UTC))
        assert vault.kinds() == ["recovered"]
        vault.inventory = inventory("sw1")
        vault.told()
        with vault.store.reading() as session:
            assert session.scalars(select(NoticeCondition.subject)).all() == [], "what is known or gone is forgotten"

    def test_a_device_that_left_the_inventory_is_neither_ill_nor_well(self, lite: Notified) -> None:
        lite.inventory = inventory("sw1")
        self.fail(lite, 3)
        assert lite.kinds() == ["failing"]
        lite.inventory = inventory("another")
        assert lite.told() == []
        lite.inventory = inventory("sw1")
        assert lite.kinds() == ["failing"]

    def test_an_output_that_fails_is_told_and_when_it_works_again(self, lite: Notified) -> None:
        lite.mirror_settings = MirrorSettings(enabled=True)
        for _ in range(2):
            with lite.store.session() as session:
                note_failure(session, MIRROR, "no room")
        (notice,) = lite.told()
        assert (notice["kind"], notice["title"], notice["text"]) == (
            "output_failing",
            "the git mirror fails",
            "no room",
        )
        assert lite.told() == []
        with lite.store.session() as session:
            note_success(session, MIRROR)
        (notice,) = lite.told()
        assert (notice["kind"], notice["title"]) == ("recovered", "the git mirror works again")


class TestWorkers:
    @pytest.fixture
    def gone(self, lite: Notified, redis_url: str) -> Notified:
        """A vault whose group had a worker, silent for an hour."""
        lite.redis_url = redis_url
        lite.inventory = inventory("sw1")
        self.beat(redis_url)
        assert lite.told() == []
        with Redis.from_url(redis_url) as redis:
            told = redis.hget(WORKERS, "dmz@here")
            assert isinstance(told, bytes)
            seen = datetime.now(UTC) - timedelta(hours=1)
            redis.hset(WORKERS, "dmz@here", json.dumps({**json.loads(told), "seen_at": seen.isoformat()}))
        return lite

    def beat(self, redis_url: str, group: str = "dmz") -> None:
        with Redis.from_url(redis_url) as redis:
            beat(redis, f"{group}@here", groups=(group,), version="1", started_at=datetime.now(UTC))

    def test_a_group_without_a_worker_is_told_and_when_it_has_one_again(self, gone: Notified, redis_url: str) -> None:
        (notice,) = gone.told()
        assert (notice["kind"], notice["title"]) == ("worker_gone", "group dmz has no worker")
        assert gone.told() == []
        self.beat(redis_url)
        assert gone.kinds() == ["recovered"]

    def test_one_live_worker_is_enough(self, gone: Notified, redis_url: str) -> None:
        with Redis.from_url(redis_url) as redis:
            beat(redis, "dmz@there", groups=("dmz",), version="1", started_at=datetime.now(UTC))
        assert gone.told() == []

    def test_while_redis_is_away_nothing_is_told_of_workers(self, gone: Notified) -> None:
        gone.redis_url = "redis://127.0.0.1:1/1"
        assert gone.told() == []

    def test_a_group_without_devices_needs_no_worker(self, gone: Notified) -> None:
        gone.inventory = inventory("sw1", group="lab")
        assert gone.told() == []


class TestReceivers:
    def test_each_hears_what_it_asked_for(self, lite: Notified) -> None:
        lite.receivers = {
            "all": ReceiverSettings(command=("/bin/true",)),
            "lab": ReceiverSettings(command=("/bin/true",), groups=("lab",)),
            "ill": ReceiverSettings(command=("/bin/true",), kinds=("failing", "recovered")),
        }
        lite.run(["sw1"], LONG)
        lite.run(["fw1"], LONG, group="lab")
        lite.told("all")
        lite.run(["sw1"], LONG + "x\n")
        lite.run(["fw1"], LONG + "x\n", group="lab")
        for _ in range(3):
            lite.run(["sw1"], status="failure", error="timeout")
        assert sorted(lite.kinds("all")) == ["changed", "changed", "failing"]
        assert [notice["device"] for notice in lite.told("lab")] == ["fw1"]
        assert lite.kinds("ill") == ["failing"]

    def test_a_digest_is_due_a_set_time_after_its_first_notice(self, lite: Notified) -> None:
        lite.receivers = {"daily": ReceiverSettings(command=("/bin/true",), digest_s=3600)}
        lite.run(["sw1"], "a\n")
        lite.watch().turn(lite.store)
        for text in ("b\n", "c\n"):
            lite.run(["sw1"], text)
            lite.watch().turn(lite.store)
        now = datetime.now(UTC)
        with lite.store.reading() as session:
            assert due_deliveries(session, now, limit=10) == []
            (due,) = due_deliveries(session, now + timedelta(seconds=3601), limit=10)
        assert len(due.notices) == 2

    def test_nobody_who_wants_it_means_no_notice(self, lite: Notified) -> None:
        lite.receivers = {"ill": ReceiverSettings(command=("/bin/true",), kinds=("failing",))}
        lite.run(["sw1"], "a\n")
        lite.run(["sw1"], "b\n")
        assert lite.told("ill") == []
        with lite.store.reading() as session:
            assert session.scalar(select(func.count()).select_from(Notice)) == 0


def test_a_renamed_device_is_told_of_by_its_new_name_and_keeps_its_history(lite: Notified) -> None:
    lite.run(["id"], "a\n", names={"device": "old"})
    lite.answer(lite.ask(["id"], "lab", device="new"), "b\n")
    (notice,) = lite.told()
    assert (notice["device"], notice["group"], notice["device_id"], notice["revision"]) == ("new", "lab", "id", 2)
    with lite.store.reading() as session:
        assert session.scalars(select(DeviceRevision.number).order_by(DeviceRevision.number)).all() == [1, 2]
        assert session.scalars(select(Device.name)).all() == ["new"]
