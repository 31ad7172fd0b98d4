"""The judge of a campaign finds what is wrong with what was kept, left behind, or ended by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import update

from devicevault import names
from devicevault.collector.seal import Sealer
from devicevault.demo.fleet import Fleet
from devicevault.settings import Settings
from devicevault.settings.schema import VaultSettings
from devicevault.store import Store, open_store, write_results
from devicevault.store.models import DeviceRevision, SealedOriginal
from devicevault.stream import ResultReader
from devicevault.vault_keys import create_keys
from tests.durability import verdict
from tests.durability.devices import RememberingDevice, device
from tests.durability.supervisor import Unit
from tests.results import artifact, request, result
from tests.servers import RedisServer, wait_until
from tests.simulated import shown

#: One whose console prints its configuration and nothing around it.
LINUX = 9


@pytest.fixture
def one() -> RememberingDevice:
    return device(LINUX)


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    with open_store(sqlite_url, migrate=True) as opened:
        yield opened


@pytest.fixture
def stage(one: RememberingDevice, tmp_path: Path) -> Iterator[Any]:
    """As far as it is looked at: the fleet, and the vault's keys."""
    keys = VaultSettings(
        public_key=tmp_path / "vault.pub", private_key=tmp_path / "vault.key", digest_key=tmp_path / "vault.digest"
    )
    create_keys(keys)
    with Fleet([one]) as fleet:
        yield SimpleNamespace(fleet=fleet, vault=SimpleNamespace(settings=Settings(vault=keys)))


def keep(store: Store, stage: Any, of: RememberingDevice, minutes: int, original: str = "") -> None:
    """What the device holds, as a worker delivers it; sealed with it is ``original``, which is its own by default."""
    sealed, key_id = Sealer.from_settings(stage.vault.settings).seal((original or of.configuration).encode())
    text = artifact(shown(of), original=sealed, key_id=key_id, original_digest=f"k{minutes}")
    write_results(store, [result(request(of.name, minutes=minutes, platform=of.platform), "success", text)])


def test_revisions_the_device_held_are_no_fault(one: RememberingDevice, store: Store, stage: Any) -> None:
    keep(store, stage, one, 0)
    one.become(1, "")
    keep(store, stage, one, 1)
    assert verdict.wrongly_kept(store, stage) == []


def test_a_text_the_device_never_held_is_found(one: RememberingDevice, store: Store, stage: Any) -> None:
    held = one.configuration
    one.configuration = held + "# another line\n"
    keep(store, stage, one, 0)
    one.configuration = held
    assert verdict.wrongly_kept(store, stage) == [f"{one.name} revision 1: the device never held this text"]


def test_an_original_that_would_not_restore_the_device_is_found(
    one: RememberingDevice, store: Store, stage: Any
) -> None:
    keep(store, stage, one, 0, original=shown(one))
    (fault,) = verdict.wrongly_kept(store, stage)
    assert "lacks secrets" in fault
    with store.session() as session:
        session.query(SealedOriginal).delete()
    assert verdict.wrongly_kept(store, stage) == [f"{one.name} revision 1: has no original"]


def test_a_gap_in_a_history_is_found(one: RememberingDevice, store: Store, stage: Any) -> None:
    keep(store, stage, one, 0)
    one.become(1, "")
    keep(store, stage, one, 1)
    with store.session() as session:
        session.execute(update(DeviceRevision).where(DeviceRevision.number == 2).values(number=3))
    assert "revision 3: follows revision 1" in verdict.wrongly_kept(store, stage)[0]


@pytest.mark.services
def test_what_is_left_in_the_stream_and_a_changed_device_are_found(redis: RedisServer, redis_url: str) -> None:
    stage: Any = SimpleNamespace(redis=redis, fleet=SimpleNamespace(changes=[]))
    with Redis.from_url(redis_url) as client:
        reader = ResultReader(client, names.RESULTS_STREAM, "here", Settings().consumer)
        reader.ensure_group()
        assert verdict.left_behind(stage) == []
        client.xadd(names.RESULTS_STREAM, {"device": "sw"})
        assert verdict.left_behind(stage) == ["1 unread results"]
        (entry,) = reader.read()
        assert verdict.left_behind(stage) == ["1 unacknowledged results"]
        reader.dead_letter(entry, "broken")
    stage.fleet.changes.append("reload")
    assert verdict.left_behind(stage) == ["1 dead letters", "1 changes to devices"]


def unit(folder: Path, code: str) -> Unit:
    return Unit("daemon", [sys.executable, "-c", code], {}, folder)


def ends(of: Unit) -> list[str]:
    stage: Any = SimpleNamespace(units=[of])
    return verdict.ended_by_themselves(stage)


def test_a_daemon_that_ends_by_itself_is_found(tmp_path: Path) -> None:
    with unit(tmp_path, "raise SystemExit(3)") as daemon:
        wait_until(lambda: bool(daemon.exits), 30, or_say=lambda: "it has not ended")
    assert ends(daemon)[0] == "daemon: ended by itself with 3"


WAITING = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", flush=True)
while True:
    signal.pause()
"""


def test_one_that_was_killed_or_told_to_stop_is_no_fault(tmp_path: Path) -> None:
    def is_up(times: int) -> bool:
        return daemon.log.exists() and daemon.log.read_text().count("up") >= times

    with unit(tmp_path, WAITING) as daemon:
        wait_until(lambda: is_up(1), 30, or_say=lambda: "it is not up")
        daemon.kill()
        wait_until(lambda: is_up(2), 30, or_say=daemon.log_tail)
    assert ends(daemon) == []
