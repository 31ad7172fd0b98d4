"""The mirror is pushed within a time limit; a remote that fails is told of, and tried again."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from devicevault.errors import ServiceUnavailable
from devicevault.outputs.background import Outputs
from devicevault.outputs.mirror.push import Push, _reason
from devicevault.outputs.process import TimedOut, run
from devicevault.outputs.progress import PUSH, state_of
from devicevault.settings import Settings
from devicevault.store import open_store
from devicevault.store.output_models import OutputState
from tests.mirrored import Vault, git
from tests.servers import wait_until

pytestmark = pytest.mark.services


@pytest.fixture
def vault(sqlite_url: str, tmp_path: Path) -> Iterator[Vault]:
    with open_store(sqlite_url, migrate=True) as store:
        yield Vault(store, tmp_path / "mirror.git")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(path)], check=True, timeout=60)
    return path


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A remote that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mirror.git"


def pusher(vault: Vault, remote: Path | str, **values: object) -> Push:
    return Push(vault.settings.model_copy(update={"remote": str(remote), **values}))


def pushed(vault: Vault) -> str:
    with vault.store.reading() as session:
        return state_of(session, PUSH).head


def stranger_commits(remote: Path, folder: Path) -> str:
    """Somebody else's commit on the remote's branch; its text."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(remote), str(clone)], check=True, timeout=60)
    (clone / "theirs").write_text("precious")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.net"]
    for arguments in (["add", "-A"], [*who, "commit", "-qm", "mine"], ["push", "-q", "origin", "HEAD:main"]):
        subprocess.run(["git", "-C", str(clone), *arguments], check=True, timeout=60, capture_output=True)
    return git(remote, "rev-parse", "main")


def test_the_remote_gets_every_commit(vault: Vault, remote: Path) -> None:
    push = pusher(vault, remote)
    for text in ("a\n", "b\n"):
        vault.run(["sw1"], text)
        vault.turn()
        push.turn(vault.store)
        assert git(remote, "show", "main:dmz/sw1.cfg") == text
    assert pushed(vault) == git(remote, "rev-parse", "main").strip()


def test_a_mirror_made_anew_takes_the_place_of_what_was_pushed(vault: Vault, remote: Path) -> None:
    """Its history may differ, for it tells the names devices had."""
    vault.run(["id"], "a\n" * 9, names={"device": "old"})
    vault.turn()
    vault.answer(vault.ask(["id"], device="new"), "a\n" * 9)
    vault.turn()
    pusher(vault, remote).turn(vault.store)
    vault.run(["id"], "b\n" * 9, names={"device": "newest"})
    vault.mirror.rebuild(vault.store)
    pusher(vault, remote).turn(vault.store)
    assert git(remote, "rev-parse", "main") == vault.git("rev-parse", "main")


def test_a_push_the_database_does_not_know_of_is_no_trouble(vault: Vault, remote: Path) -> None:
    """Killed after the push, before it was noted."""
    vault.run(["sw1"], "a\n")
    vault.turn()
    pusher(vault, remote).turn(vault.store)
    with vault.store.session() as session:
        session.execute(update(OutputState).where(OutputState.name == PUSH).values(head=""))
    vault.run(["sw1"], "b\n")
    vault.turn()
    pusher(vault, remote).turn(vault.store)
    assert git(remote, "show", "main:dmz/sw1.cfg") == "b\n"


def test_commits_of_others_are_not_overwritten_unless_somebody_says_so(
    vault: Vault, remote: Path, tmp_path: Path
) -> None:
    theirs = stranger_commits(remote, tmp_path)
    vault.run(["sw1"], "a\n")
    vault.turn()
    with pytest.raises(ServiceUnavailable, match=r"not the mirror's.*--force"):
        pusher(vault, remote).turn(vault.store)
    assert git(remote, "rev-parse", "main") == theirs
    head = vault.git("rev-parse", "main").strip()
    pusher(vault, remote).push(head, "", force=True)
    assert git(remote, "rev-parse", "main").strip() == head


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Host key verification failed.\r\nfatal: Could not read from remote repository.\n\nPlease make sure",
            "Host key verification failed.",
        ),
        ("fatal: Could not read from remote repository.\n", "fatal: Could not read from remote repository."),
        ("remote: not you\nerror: failed to push some refs\nhint: try", "remote: not you"),
    ],
)
def test_what_is_told_is_why_and_not_that_it_failed(said: str, reason: str) -> None:
    assert _reason(said) == reason


def test_a_remote_that_is_not_there_is_told_in_one_line_without_its_password(vault: Vault) -> None:
    vault.run(["sw1"], "a\n")
    vault.turn()
    with pytest.raises(ServiceUnavailable, match="can't reach /nowhere/at/all") as caught:
        pusher(vault, "/nowhere/at/all").turn(vault.store)
    assert "\n" not in str(caught.value)


def test_a_remote_that_hangs_is_given_up_in_time(vault: Vault, silent_url: str) -> None:
    vault.run(["sw1"], "a\n")
    vault.turn()
    with pytest.raises(TimedOut, match="took longer"):
        pusher(vault, silent_url, push_timeout_s=0.5).turn(vault.store)


def test_nothing_a_program_started_outlives_its_time(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(TimedOut):
        run(["sh", "-c", f"(sleep 30; touch {mark}) & echo $! > {tmp_path}/pid; wait"], timeout_s=0.5)
    child = Path("/proc") / (tmp_path / "pid").read_text().strip()
    wait_until(lambda: not child.exists() or "Z" in (child / "stat").read_text(), 10, or_say=lambda: "it lives")


def test_a_program_ends_with_its_daemon(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(TimedOut, match="the daemon stops"):
        run(["sleep", "60"], timeout_s=60, stop=stop)


def test_a_push_that_hangs_holds_up_neither_mirror_nor_the_daemons_end(
    vault: Vault, silent_url: str, sqlite_url: str
) -> None:
    settings = Settings(
        database_url=sqlite_url,
        mirror=vault.settings.model_copy(update={"remote": silent_url, "push_timeout_s": 600.0}),
    )
    vault.run(["sw1"], "a\n")
    with Outputs(settings) as outputs:
        wait_until(lambda: bool(vault.files()), 30, or_say=lambda: "no mirror")
        report = vault.run(["sw1"], "b\n")
        outputs.stored([], report)
        wait_until(lambda: vault.files() == {"dmz/sw1.cfg": "b\n"}, 30, or_say=lambda: str(vault.files()))
    assert not any(thread.name in ("mirror", "push") for thread in threading.enumerate())


def test_what_fails_is_kept_as_its_state_and_forgotten_when_it_works(
    vault: Vault, remote: Path, sqlite_url: str, tmp_path: Path
) -> None:
    aside = tmp_path / "aside.git"
    remote.rename(aside)
    settings = Settings(database_url=sqlite_url, mirror=vault.settings.model_copy(update={"remote": str(remote)}))

    def state() -> OutputState:
        with vault.store.reading() as session:
            return state_of(session, PUSH)

    vault.run(["sw1"], "a\n")
    with Outputs(settings) as outputs:
        wait_until(lambda: state().failures >= 1, 30, or_say=lambda: "it did not fail")
        assert "can't reach" in state().error
        assert state().failing_since is not None
        outputs.renew(settings)  # nobody waits for the second try
        wait_until(lambda: "push: git can't reach" in outputs.trouble, 30, or_say=lambda: "nothing is told")
        aside.rename(remote)
        outputs.renew(settings)
        wait_until(lambda: not state().failures, 60, or_say=lambda: state().error)
        wait_until(lambda: not outputs.trouble, 30, or_say=lambda: outputs.trouble)
    assert git(remote, "show", "main:dmz/sw1.cfg") == "a\n"
