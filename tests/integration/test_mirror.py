"""The git mirror holds what the store holds, one commit for each run and group, whatever interrupts it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from devicevault.errors import ConfigurationError, ServiceUnavailable
from devicevault.outputs.mirror.mirror import Mirror
from devicevault.outputs.mirror.plan import batches
from devicevault.outputs.mirror.repository import Repository
from devicevault.outputs.progress import MIRROR, progress_of, state_of
from devicevault.outputs.revisions import NewRevision
from devicevault.settings import MirrorSettings
from devicevault.store import open_store, reader
from devicevault.store.models import Device, DeviceBackupResult, DeviceRevision, SealedOriginal
from devicevault.store.output_models import OutputProgress, OutputState
from tests.mirrored import Vault
from tests.results import artifact
from tests.servers import wait_until

pytestmark = pytest.mark.services


@pytest.fixture(params=["sqlite", "postgresql"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vault]:
    with open_store(request.getfixturevalue(f"{request.param}_url"), migrate=True) as store:
        yield Vault(store, tmp_path / "mirror.git")


@pytest.fixture
def lite(sqlite_url: str, tmp_path: Path) -> Iterator[Vault]:
    with open_store(sqlite_url, migrate=True) as store:
        yield Vault(store, tmp_path / "mirror.git")


def test_each_run_and_group_is_a_commit_that_says_what_changed(vault: Vault) -> None:
    vault.run(["sw1", "sw2"], "hostname x\n")
    vault.run(["fw1"], "fw\n", group="lab")
    vault.run(["sw1"], "hostname x\nvlan 3\n")
    vault.turn()
    assert vault.log() == ["dmz: first backup of 2 devices", "lab: first backup of fw1", "dmz: sw1 changed"]
    assert vault.files() == {
        "dmz/sw1.cfg": "hostname x\nvlan 3\n",
        "dmz/sw2.cfg": "hostname x\n",
        "lab/fw1.cfg": "fw\n",
    }
    body = vault.git("log", "-1", "--format=%b", "main")
    assert "dmz/sw1.cfg: +1 -0, revision 2" in body
    assert "Run: " in body


def test_author_and_date_are_those_of_the_change_and_the_collection(vault: Vault) -> None:
    vault.run(["sw1"], "a\n")
    vault.run(["sw1"], "b\n", facts={"author": "alice", "authored_at": "05:58"})
    vault.turn()
    first, second = vault.git("log", "--reverse", "--format=%an|%aI|%cI", "main").splitlines()
    assert first == "DeviceVault|2026-05-04T06:01:00+00:00|2026-05-04T06:01:00+00:00"
    assert second == "alice|2026-05-04T06:02:00+00:00|2026-05-04T06:02:00+00:00"
    assert "by alice" in vault.git("log", "-1", "--format=%b", "main")


def test_a_commit_waits_for_the_rest_of_its_run(vault: Vault) -> None:
    requests = vault.ask(["sw1", "sw2", "sw3"])
    vault.answer(requests[:2], "a\n")
    vault.turn()
    assert vault.files() == {}
    vault.answer(requests[2:], status="failure", error="timeout")
    vault.turn()
    assert vault.log()[-1] == "dmz: first backup of 2 devices"


def test_a_run_that_does_not_end_is_waited_for_so_long_and_no_longer(lite: Vault) -> None:
    requests = lite.ask(["sw1", "sw2"])
    lite.answer(requests[:1], "a\n")
    Mirror(lite.settings.model_copy(update={"run_wait_s": 0.0})).turn(lite.store)
    assert lite.log()[-1] == "dmz: first backup of sw1"
    lite.answer(requests[1:], "b\n")
    lite.turn()
    assert lite.log()[-1] == "dmz: first backup of sw2"


def test_a_file_never_overtakes_its_own_past(lite: Vault) -> None:
    """A later run is done first, of a device whose earlier revision still waits for its run."""
    earlier = lite.ask(["sw1", "sw2"])
    lite.answer(earlier[:1], "one\n")
    lite.run(["sw1"], "two\n")
    lite.turn()
    assert lite.files() == {}
    lite.answer(earlier[1:], "x\n")
    lite.turn()
    assert lite.git("log", "--reverse", "--format=%s", "main", "--", "dmz/sw1.cfg").splitlines() == [
        "dmz: first backup of 2 devices",
        "dmz: sw1 changed",
    ]
    assert lite.files()["dmz/sw1.cfg"] == "two\n"


def test_runs_that_read_crosswise_keep_each_files_order() -> None:
    def revision(row_id: int, pk: int, number: int, run: str) -> NewRevision:
        at = datetime.now(UTC)
        return NewRevision(row_id, pk, "running", number, 1, "changed", 0, 0, "", at, "", run, row_id, at, "dmz", "sw")

    rows = [revision(1, 1, 1, "a"), revision(2, 2, 1, "b"), revision(3, 2, 2, "a"), revision(4, 1, 2, "b")]
    made = batches(rows)
    order = [(row.device_pk, row.number) for batch in made for row in batch.revisions]
    assert sorted(order) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for pk in (1, 2):
        assert [number for device_pk, number in order if device_pk == pk] == [1, 2]


def test_a_renamed_or_moved_device_keeps_its_history(vault: Vault) -> None:
    vault.run(["id-1"], "hostname a\nline\nline 2\n", "startup\n", names={"device": "old-name"})
    vault.turn()
    vault.answer(vault.ask(["id-1"], "lab", device="new-name"), "hostname a\nline\nline 2\nmore\n", "startup\n")
    vault.turn()
    assert sorted(vault.files()) == ["lab/new-name.cfg", "lab/new-name.part-1.cfg"]
    assert vault.git("log", "--follow", "--format=%s", "main", "--", "lab/new-name.cfg").splitlines() == [
        "lab: new-name changed, new-name moved",
        "dmz: first backup of old-name",
    ]
    assert "moved from dmz/old-name.cfg" in vault.git("log", "-1", "--format=%b", "main")
    with vault.store.reading() as session:
        device = reader.find_device(session, "new-name")
        known = reader.device_revisions(session, device, limit=10, artifact="running")
        assert [(one.number, one.device_id) for one in known] == [(2, "id-1"), (1, "id-1")]
    # Another renaming, without any change of the device, is a move alone.
    vault.answer(vault.ask(["id-1"], "lab", device="third"), "hostname a\nline\nline 2\nmore\n", "startup\n")
    vault.turn()
    assert vault.log()[-1] == "lab: third moved"
    assert vault.git("show", "-M", "--name-status", "--format=", "main").split() == (
        ["R100", "lab/new-name.cfg", "lab/third.cfg", "R100", "lab/new-name.part-1.cfg", "lab/third.part-1.cfg"]
    )
    before = vault.files()
    vault.mirror.rebuild(vault.store)
    assert vault.files() == before
    follow = vault.git("log", "--follow", "--format=%s", "main", "--", "lab/third.cfg").splitlines()
    assert follow[-1] == "dmz: first backup of old-name"


def test_two_devices_can_trade_their_names(lite: Vault) -> None:
    lite.run(["id-1"], "one\n", names={"device": "a"})
    lite.run(["id-2"], "two\n", names={"device": "b"})
    lite.turn()
    lite.run(["id-1"], "one\n", names={"device": "b"})
    lite.run(["id-2"], "two\n", names={"device": "a"})
    lite.turn()
    files = lite.files()
    assert sorted(files.values()) == ["one\n", "two\n"]
    assert files["dmz/a.cfg"] == "two\n"


@pytest.mark.parametrize(
    "names",
    [
        ("..", "../x", "a/../../b", "/etc/passwd"),
        ("a b", "a_b", "a\tb"),
        ("core", "CORE", "Core"),
        (".git", ".gitattributes", "HEAD"),
        ("Zürich", "Zu\u0308rich"),
        ("nul", "x" * 400, "\u202e"),
        ('quote"d', "new\nline", "<html>", "%s%n"),
    ],
)
def test_names_are_safe_and_no_device_loses_its_file(lite: Vault, names: tuple[str, ...], tmp_path: Path) -> None:
    for number, name in enumerate(names):
        lite.run([f"id-{number}"], f"text of {number}\n", names={"device": name})
    lite.turn()
    files = lite.files()
    assert sorted(files.values()) == [f"text of {number}\n" for number in range(len(names))]
    assert len({name.casefold() for name in files}) == len(names)
    lite.git("fsck", "--strict")
    subprocess.run(["git", "clone", "--quiet", str(lite.path), str(tmp_path / "clone")], check=True, timeout=60)
    assert sorted(path.parent.name for path in (tmp_path / "clone").rglob("*.cfg")) == ["dmz"] * len(names)


def test_two_devices_of_one_name_are_counted_as_two(lite: Vault) -> None:
    lite.run(["id-3", "id-4"], "b\n", names={"device": "core"})
    lite.turn()
    assert "dmz: first backup of 2 devices" in lite.log()


def test_new_rules_are_told_as_such(lite: Vault) -> None:
    def sent(text: str, keyed: str) -> object:
        return artifact(text, name="running", original_digest=keyed)

    text = "interface 1\n" * 5
    lite.run(["sw1"], sent(f"clock 1\n{text}", "basis:1"), rules_digest="r1")
    lite.run(["sw1"], sent(text, "other:2"), rules_digest="r2")
    lite.turn()
    assert lite.log()[-1] == "dmz: sw1 shown by new rules"
    lite.run(["sw1"], sent(text, "other:3"), rules_digest="r2")
    lite.turn()
    assert lite.log()[-1] == "dmz: a hidden secret of sw1 changed"


def test_originals_and_the_group_have_no_way_into_the_mirror(lite: Vault) -> None:
    lite.run(["sw1"], artifact("shown\n", name="running", original=b"Original-With-Secrets"))
    lite.turn()
    with lite.store.reading() as session:
        assert session.query(SealedOriginal).count() == 1
    objects = lite.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").split()
    assert len(objects) >= 4
    for name in objects[::2]:
        assert "Original-With-Secrets" not in lite.git("cat-file", "-p", name)
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (lite.path, *lite.path.rglob("*"))}
    assert modes == {0}


def test_a_device_that_is_gone_from_the_database_leaves_the_mirror(lite: Vault) -> None:
    lite.run(["sw1"], "a\n")
    lite.run(["sw2"], "b\n")
    lite.turn()
    with lite.store.session() as session:
        session.execute(update(Device).values(latest_result_id=None, last_success_id=None))
        gone = session.query(Device).filter_by(name="sw1").one().id
        revisions = session.query(DeviceRevision.id).filter_by(device_pk=gone)
        session.execute(delete(SealedOriginal).where(SealedOriginal.revision_id.in_(revisions)))
        session.execute(delete(DeviceRevision).where(DeviceRevision.device_pk == gone))
        session.execute(delete(DeviceBackupResult).where(DeviceBackupResult.device_pk == gone))
        session.execute(delete(Device).where(Device.id == gone))
    lite.turn()
    assert list(lite.files()) == ["dmz/sw2.cfg"]
    assert lite.log()[-1] == "dmz: sw1.cfg removed"


class TestRecovery:
    def test_commits_the_database_does_not_know_of_are_made_again_just_so(self, vault: Vault) -> None:
        """Killed between git's commit and the database's."""
        vault.run(["sw1"], "a\n")
        vault.turn()
        with vault.store.reading() as session:
            known, places = state_of(session, MIRROR).head, progress_of(session, MIRROR)
        vault.run(["sw1", "sw2"], "b\n")
        vault.turn()
        ahead = vault.git("rev-parse", "main")
        with vault.store.session() as session:
            session.execute(update(OutputState).where(OutputState.name == MIRROR).values(head=known))
            session.execute(delete(OutputProgress))
            session.add_all(
                OutputProgress(output=MIRROR, device_pk=pk, artifact=name, number=place.number, path=place.path)
                for (pk, name), place in places.items()
            )
        vault.turn()
        assert vault.git("rev-parse", "main") == ahead

    @pytest.mark.parametrize("damage", ["gone", "emptied", "another's history"])
    def test_a_damaged_mirror_is_made_anew(self, lite: Vault, damage: str) -> None:
        lite.run(["sw1"], "a\n")
        lite.run(["sw1"], "b\n")
        lite.turn()
        before = lite.git("rev-parse", "main")
        lite.mirror.repository().remove()
        if damage != "gone":
            other = Repository(lite.path, "main")
            other.make()
        lite.run(["sw1"], "c\n")
        lite.turn()
        assert lite.files() == {"dmz/sw1.cfg": "c\n"}
        assert lite.git("rev-parse", "main~1") == before

    def test_locks_of_a_git_that_was_killed_hold_nobody_up(self, lite: Vault) -> None:
        lite.run(["sw1"], "a\n")
        lite.turn()
        for name in ("refs/heads/main.lock", "packed-refs.lock", "config.lock", "gc.pid"):
            (lite.path / name).write_text("")
        lite.run(["sw1"], "b\n")
        lite.turn()
        assert lite.files() == {"dmz/sw1.cfg": "b\n"}

    @pytest.mark.parametrize("step", range(12))
    def test_killed_at_each_step_of_making_it_anew_it_goes_on(
        self, lite: Vault, step: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lite.run(["sw1"], "a\n")
        lite.turn()
        lite.run(["sw1"], "b\n")
        steps = iter(range(step))

        def or_killed(does: Callable[..., Any]) -> Callable[..., Any]:
            def doing(*arguments: Any, **options: Any) -> Any:
                if next(steps, None) is None:
                    raise KeyboardInterrupt
                return does(*arguments, **options)

            return doing

        with monkeypatch.context() as patched:
            patched.setattr(Repository, "_must", or_killed(Repository._must))
            patched.setattr(shutil, "rmtree", or_killed(shutil.rmtree))
            with pytest.raises(KeyboardInterrupt):
                lite.mirror.rebuild(lite.store)
        lite.mirror.rebuild(lite.store)
        assert lite.files() == {"dmz/sw1.cfg": "b\n"}

    @pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3])
    def test_killed_at_any_moment_it_goes_on(self, lite: Vault, after_s: float) -> None:
        for round_ in range(4):
            lite.run([f"sw{number}" for number in range(30)], f"line {round_}\n" + "filler\n" * 500)
        url = str(lite.store.engine.url)
        code = (
            "import sys; from pathlib import Path; from devicevault.outputs.mirror.mirror import Mirror\n"
            "from devicevault.settings import MirrorSettings; from devicevault.store import open_store\n"
            "settings = MirrorSettings(enabled=True, path=Path(sys.argv[2]))\n"
            "with open_store(sys.argv[1]) as store:\n"
            "    print('begun', flush=True); Mirror(settings).turn(store)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, url, str(lite.path)], stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            try:
                process.wait(after_s)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
        # A git that outlived it has the mirror to itself until it ends.
        wait_until(lambda: lite.mirror.turn(lite.store) is None, 60, or_say=lambda: "the mirror is locked still")
        lite.git("fsck", "--strict")
        assert lite.log() == ["dmz: first backup of 30 devices", *["dmz: 30 devices changed"] * 3]
        assert {text.partition("\n")[0] for text in lite.files().values()} == {"line 3"}

    def test_a_place_that_is_somebody_elses_is_not_touched(self, lite: Vault) -> None:
        lite.path.mkdir()
        (lite.path / "theirs").write_text("precious")
        lite.run(["sw1"], "a\n")
        with pytest.raises(ConfigurationError, match="not a git mirror"):
            lite.turn()
        assert (lite.path / "theirs").read_text() == "precious"

    def test_without_git_it_says_what_to_install(self, lite: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
        lite.run(["sw1"], "a\n")
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(ServiceUnavailable, match="apt install git"):
            lite.turn()

    def test_two_processes_take_turns(self, lite: Vault) -> None:
        lite.run(["sw1"], "a\n")
        with lite.mirror.repository().locked() as is_ours:
            assert is_ours
            assert lite.mirror.turn(lite.store) is not None
            assert not lite.path.exists()
        lite.turn()
        assert lite.files() == {"dmz/sw1.cfg": "a\n"}


def test_made_anew_it_is_the_same(vault: Vault) -> None:
    for round_ in range(3):
        vault.run(["sw1", "sw2", "sw3"], f"round {round_}\n")
        vault.run(["fw1"], f"round {round_}\n", group="lab")
    vault.turn()
    before = vault.git("rev-parse", "main")
    done = vault.mirror.rebuild(vault.store)
    assert done.head == before.strip() == vault.git("rev-parse", "main").strip()
    assert done.commits == 6


def test_a_mirror_switched_on_late_has_the_whole_past(lite: Vault) -> None:
    for round_ in range(5):
        lite.run(["sw1"], f"round {round_}\n")
    Mirror(MirrorSettings(path=lite.path)).turn(lite.store)
    assert not lite.path.exists(), "it is off"
    lite.turn()
    assert len(lite.log()) == 5


def test_what_was_recorded_long_ago_waits_for_nothing(lite: Vault) -> None:
    requests = lite.ask(["sw1", "sw2"])
    lite.answer(requests[:1], "a\n")
    with lite.store.session() as session:
        session.execute(
            update(DeviceBackupResult)
            .where(DeviceBackupResult.status == "success")
            .values(recorded_at=datetime.now(UTC) - timedelta(hours=1))
        )
    lite.turn()
    assert list(lite.files()) == ["dmz/sw1.cfg"]
