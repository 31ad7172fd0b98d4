"""Devices that left the inventory: kept, then out of the way, never lost, and back when they are asked for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, select

from devicevault.cli import main
from devicevault.outputs.mirror.mirror import Mirror
from devicevault.outputs.notices.facts import device_facts
from devicevault.outputs.sampler import fleet
from devicevault.settings import MirrorSettings
from devicevault.store import Store, open_run, open_store, queue_requests, reader, write_results
from devicevault.store.archive import Archiving, archive_absent
from devicevault.store.freshness import freshness
from devicevault.store.models import DeviceRevision, SealedOriginal
from tests.results import request, result

#: Long ago enough for every wait of these tests.
BEGIN = datetime.now(UTC) - timedelta(days=100)


@dataclass
class Vault:
    store: Store
    url: str
    folder: Path

    def collect(self, device: str, text: str, day: float = 0) -> None:
        moment = BEGIN + timedelta(days=day)
        asked = request(device, device_id=f"id-of-{device}", group="dmz", requested_at=moment)
        with self.store.session() as session:
            queue_requests(session, open_run(session, asked_by="pat", requested_at=moment), [asked])
        write_results(self.store, [result(asked, "success", text)])

    def inventory(self, *devices: str) -> None:
        self.folder.joinpath("devices.toml").write_text(
            "[groups.dmz]\n"
            + "".join(
                f'[devices.{name}]\nid = "id-of-{name}"\naddress = "192.0.2.1"\nplatform = "noop"\ngroup = "dmz"\n'
                for name in devices
            )
        )

    def archive(self, *there: str, day: float, after_days: int = 30, dry_run: bool = False) -> Archiving:
        with self.store.session() as session:
            ids = {f"id-of-{name}" for name in there}
            return archive_absent(session, ids, after_days, BEGIN + timedelta(days=day), dry_run=dry_run)

    def run(self, *arguments: str, **more: str) -> Result:
        environ = {
            "DEVICEVAULT_CONFIG": None,
            "DEVICEVAULT_DATABASE_URL": self.url,
            "DEVICEVAULT_INVENTORY__PATH": str(self.folder / "devices.toml"),
            "DEVICEVAULT_RETENTION__DEAD_LETTERS_DAYS": "0",
            **more,
        }
        return CliRunner().invoke(main, arguments, env=environ, catch_exceptions=False)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vault]:
    url = str(request.getfixturevalue(f"{request.param}_url"))
    with open_store(url, migrate=True) as store:
        made = Vault(store, url, tmp_path)
        for device in ("here", "gone"):
            made.collect(device, f"hostname {device}\n")
        made.inventory("here")
        yield made


def test_a_device_is_archived_after_a_set_time_and_back_when_the_inventory_has_it(vault: Vault) -> None:
    assert vault.archive("here", day=1) == Archiving(absent=("gone",))
    assert vault.archive("here", day=30) == Archiving(absent=("gone",))
    assert vault.archive("here", day=40, dry_run=True) == Archiving(archived=("gone",))
    assert vault.archive("here", day=40) == Archiving(archived=("gone",))
    assert vault.archive("here", day=50) == Archiving()
    assert vault.archive("here", "gone", day=60) == Archiving(returned=("gone",))
    assert vault.archive("here", day=61) == Archiving(absent=("gone",)), "its time begins anew"


def test_a_short_absence_is_forgotten_and_never_means_never(vault: Vault) -> None:
    vault.archive("here", day=1)
    vault.archive("here", "gone", day=20)
    assert vault.archive("here", day=40).absent == ("gone",)
    assert vault.archive("here", day=99, after_days=0).absent == ("gone",)


def test_a_device_that_is_asked_for_is_not_absent_for_long_and_comes_back(vault: Vault) -> None:
    vault.archive("here", day=1)
    vault.collect("gone", "hostname gone\n", day=35)
    assert vault.archive("here", day=40).absent == ("gone",), "somebody collects it by hand"
    assert vault.archive("here", day=80).archived == ("gone",)
    vault.collect("gone", "hostname gone again\n", day=81)
    with vault.store.reading() as session:
        assert reader.find_device(session, "gone", archived=False).archived_at is None
        assert [state.archived_at for state in reader.device_states(session)] == [None, None]


def test_what_is_archived_is_out_of_the_way_and_within_reach(vault: Vault) -> None:
    vault.archive("here", day=1)
    vault.archive("here", day=40)
    assert [row["device"] for row in vault.json("status")] == ["here"]
    assert [row["device"] for row in vault.json("status", "--archived")] == ["gone", "here"]
    assert "archived 20" in vault.run("status", "gone").stdout
    assert vault.json("status", "--stale", "1d", "--archived") == vault.json("status", "--stale", "1d")
    for command in ("show", "history"):
        refused = vault.run(command, "gone")
        assert refused.exit_code == 2
        assert "archived on" in refused.stderr
        assert "--archived" in refused.stderr
        assert vault.run(command, "gone", "--archived").exit_code == 0
    assert vault.run("show", "gone", "--archived").stdout == "hostname gone\n"
    assert "gone" not in vault.run("search", "hostname").stdout
    assert "gone:1:hostname gone" in vault.run("search", "--archived", "hostname").stdout
    assert [one["device"] for one in vault.json("export", str(vault.folder / "a"))] == ["here"]
    assert {one["device"] for one in vault.json("export", "--archived", str(vault.folder / "b"))} == {"gone", "here"}
    assert vault.run("export", str(vault.folder / "c"), "gone").exit_code == 2
    with vault.store.reading() as session:
        counted = fleet(freshness(session), None, datetime.now(UTC))
        assert counted["devicevault_devices"] == {("dmz",): 1}
        assert {facts.name: facts.is_archived for facts in device_facts(session)} == {"gone": True, "here": False}


def test_the_mirror_puts_its_file_aside_and_back_and_does_so_anew(vault: Vault) -> None:
    mirror = Mirror(MirrorSettings(enabled=True, path=vault.folder / "mirror.git", run_wait_s=0))

    def files() -> list[str]:
        return git("ls-tree", "-r", "--name-only", "HEAD").splitlines()

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "--git-dir", str(mirror.settings.path), *arguments], check=True, capture_output=True, text=True
        ).stdout

    mirror.turn(vault.store)
    vault.archive("here", day=1)
    vault.archive("here", day=40)
    mirror.turn(vault.store)
    assert files() == ["_archive/dmz/gone.cfg", "dmz/here.cfg"]
    assert git("log", "-1", "--format=%B").splitlines()[:3] == [
        "dmz: gone archived",
        "",
        "_archive/dmz/gone.cfg: archived: it left the inventory, moved from dmz/gone.cfg",
    ]
    mirror.rebuild(vault.store)
    assert files() == ["_archive/dmz/gone.cfg", "dmz/here.cfg"]
    vault.collect("gone", "hostname gone again\n", day=50)
    mirror.turn(vault.store)
    assert files() == ["dmz/gone.cfg", "dmz/here.cfg"]
    assert git("show", "HEAD:dmz/gone.cfg") == "hostname gone again\n"


def test_prune_says_what_became_of_devices(vault: Vault) -> None:
    assert "not in the inventory, and archived after 30 days: gone" in vault.run("prune").stdout
    vault.archive("here", day=1)
    with vault.store.session() as session:
        reader.find_device(session, "gone").absent_since = BEGIN
    told = vault.run("prune", "--dry-run").stdout
    assert "would be archived, having left the inventory 30 days ago: gone" in told
    done = vault.json("prune")
    assert done["devices"] == {"archived": ["gone"], "returned": [], "absent": []}
    assert done["deleted"]["dead_letters"] is None
    vault.inventory("here", "gone")
    assert "taken out of the archive, being in the inventory again: gone" in vault.run("prune").stdout


def test_what_was_pruned_is_told_where_it_may_have_counted(vault: Vault) -> None:
    for number in range(1, 5):
        vault.collect("here", f"hostname here-{number}\n", day=number)
    with vault.store.session() as session:
        device = reader.find_device(session, "here")
        last_but_one = select(DeviceRevision.id).where(
            DeviceRevision.device_pk == device.id, DeviceRevision.number == 4
        )
        revision_id = session.scalars(last_but_one).one()
        session.execute(delete(SealedOriginal).where(SealedOriginal.revision_id == revision_id))
        session.execute(delete(DeviceRevision).where(DeviceRevision.id == revision_id))
    assert "running: pruned among these: 1 revision" in vault.run("history", "here").stdout
    then = vault.run("show", "here", "--at", (BEGIN + timedelta(days=3, hours=1)).isoformat())
    assert then.stdout == "hostname here-2\n"
    assert "warning: pruned: 1 revision between" in then.stderr
    assert vault.run("show", "here", "--at", (BEGIN + timedelta(days=4, hours=1)).isoformat()).stderr == ""
    assert "-hostname here-2" in vault.run("diff", "here").stdout, "the last two there are"
    assert "has no revision 4" in vault.run("diff", "here", "4", "5").stderr


def test_prune_archives_nothing_by_an_inventory_that_cannot_be_used(vault: Vault) -> None:
    with vault.store.session() as session:
        reader.find_device(session, "gone").absent_since = BEGIN
    vault.folder.joinpath("devices.toml").write_text("[devices\n")
    done = vault.run("prune")
    assert done.exit_code == 0
    assert "no device is archived, since the inventory can't be used" in done.stderr
    assert [row["archived_at"] for row in vault.json("status")] == [None, None]


def test_what_does_not_need_redis_is_done_while_it_is_away(vault: Vault) -> None:
    vault.archive("here", day=1)
    away = {"DEVICEVAULT_RETENTION__DEAD_LETTERS_DAYS": "365", "DEVICEVAULT_REDIS_URL": "redis://127.0.0.1:1/0"}
    done = vault.run("prune", **away)
    assert done.exit_code == os.EX_TEMPFAIL
    assert "archived, having left the inventory 30 days ago: gone" in done.stdout
    assert "Redis at 127.0.0.1:1/0 does not serve" in done.stderr
    assert [row["device"] for row in vault.json("status")] == ["here"]
