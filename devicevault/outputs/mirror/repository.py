"""The mirror's git repository: made with git itself, which packs what it keeps and pushes it anywhere."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Final

from devicevault.errors import ConfigurationError, Fault, ServiceUnavailable
from devicevault.outputs.process import Finished, run

#: Seconds git may take for a whole history; each single commit takes a fraction of one.
GIT_TIMEOUT_S: Final = 6 * 3600
AUTHOR: Final = "DeviceVault"
EMAIL: Final = "devicevault"
#: Tells a repository that is a mirror from one that somebody else keeps there: the first that is there of a mirror and
#: the last that goes, so that what is left by a process that was killed is known for ours.
_OURS: Final = "devicevault.mirror"
_MARK: Final = "[devicevault]\n\tmirror = true\n"
#: How large it was when everything was packed last.
_PACKED: Final = "devicevault.packed"
_PACK_FROM_BYTES: Final = 32 << 20
_SETTINGS: Final = {
    # Objects are on the disk before the database says so.
    "core.fsync": "all",
    "gc.auto": "2000",
    "gc.autoDetach": "false",
    # It shares the host with the consumer.
    "pack.threads": "1",
    "pack.windowMemory": "64m",
    "receive.denyNonFastForwards": "true",
}


@dataclass(frozen=True)
class FileChange:
    """One file of a commit: written, moved from ``old``, or both; deleted where there is neither text nor ``old``."""

    path: str
    text: bytes | None = None
    old: str = ""


@dataclass(frozen=True)
class Commit:
    """One commit to be."""

    message: str
    made_at: datetime
    author: str
    files: Iterable[FileChange]


class Repository:
    """A bare repository at ``path``, the mirror on ``branch``. Others may read it; one process writes it at a time."""

    def __init__(self, path: Path, branch: str, stop: Event | None = None) -> None:
        """What git does ends when ``stop`` is set."""
        self.path = path
        self._ref = f"refs/heads/{branch}"
        self._branch = branch
        self._stop = stop
        self._lock: int | None = None

    def beside(self) -> Repository:
        """Another one next to it, under the same lock."""
        other = Repository(self.path.with_name(self.path.name + ".new"), self._branch, self._stop)
        other._lock = self._lock
        return other

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[bool]:
        """Whether this process has the repository to itself while the block lasts; ``wait`` until it has.

        Each git holds the lock too: one that outlives a process that was killed is waited for.
        """
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            self._lock = descriptor
            self._remove_stale_locks()
            yield True
        finally:
            self._lock = None
            os.close(descriptor)

    def check_place(self) -> None:
        """Raises ConfigurationError for a place that is taken by something else."""
        if self.path.exists() and any(self.path.iterdir()) and not self._is_ours():
            raise ConfigurationError(
                Fault(str(self.path), "is not a git mirror of DeviceVault's", "name an empty place in mirror.path")
            )

    def make(self) -> None:
        """Make an empty repository where there is none. Raises ConfigurationError for a place that is taken."""
        self.check_place()
        if self.is_there():
            return
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            draft = self.path.with_name(self.path.name + ".config")
            draft.touch(mode=0o600)
            draft.write_text(_MARK)
            draft.replace(self.path / "config")
        except OSError as error:
            raise _unusable(self.path, error) from None
        self._must("init", "--quiet", "--bare", f"--initial-branch={self._branch}", "--template=", str(self.path))
        for name, value in _SETTINGS.items():
            self._must("config", name, value)

    def is_there(self) -> bool:
        """Whether there is a mirror. Raises ServiceUnavailable where git is not installed."""
        return (self.path / "HEAD").is_file() and self._is_ours()

    def _is_ours(self) -> bool:
        """Whether what is there is a mirror, or what is left of one."""
        config = self.path / "config"
        return config.is_file() and self.git("config", "--file", str(config), _OURS).output.strip() == "true"

    def has(self, commit: str) -> bool:
        """Whether this commit is here."""
        return bool(commit) and self.git("cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def is_before(self, commit: str, later: str) -> bool:
        """Whether ``later`` was made upon ``commit``."""
        return self.git("merge-base", "--is-ancestor", commit, later).code == 0

    def commit(self, head: str, commits: Iterable[Commit]) -> str:
        """Make commits upon ``head`` (empty for the first) and tell the last one; whatever the branch held is left.

        Killed at any point, git leaves the branch as it was or at the last commit.
        """
        self._must(
            "fast-import", "--done", "--quiet", "--force", "--date-format=raw", feed=_stream(self._ref, head, commits)
        )
        return self.head()

    def head(self) -> str:
        """The branch's newest commit; empty where there is none."""
        return self.git("rev-parse", "--verify", "--quiet", self._ref).output.strip()

    def tidy(self) -> None:
        """Pack what lies about, once there is enough of it; all of it anew, once it has doubled since the last time."""
        self._must("gc", "--auto", "--quiet")
        packed = self.git("config", "--type=int", _PACKED).output.strip()
        if self.size_bytes() > 2 * int(packed or 0) + _PACK_FROM_BYTES:
            self.pack()

    def pack(self) -> None:
        """Pack everything as small as it gets: git reuses what it packed in haste, unless it is told not to."""
        self._must("repack", "-a", "-d", "-f", "-q", "--window=20")
        self._must("prune", "--expire=now")
        self._must("config", _PACKED, str(self.size_bytes()))

    def remove(self) -> None:
        """Delete it; only a mirror of ours is ever deleted."""
        if not self.path.exists() or (any(self.path.iterdir()) and not self._is_ours()):
            return
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "config":
                entry.unlink()
        shutil.rmtree(self.path)

    def size_bytes(self) -> int:
        """Bytes of its files."""
        return sum(file.lstat().st_size for file in self.path.rglob("*") if file.is_file())

    def git(self, *arguments: str, feed: Iterable[bytes] = ()) -> Finished:
        """How a git command ended. Raises :class:`ServiceUnavailable` where git is not installed."""
        # Neither this user's nor the host's settings count: the same history gives the same commits everywhere.
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "GIT_DIR": str(self.path),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        try:
            return run(
                ["git", *arguments],
                timeout_s=GIT_TIMEOUT_S,
                feed=feed,
                environ=environ,
                stop=self._stop,
                inherit=() if self._lock is None else (self._lock,),
            )
        except FileNotFoundError:
            raise ServiceUnavailable("git is not installed", "apt install git, or set mirror.enabled = false") from None
        except OSError as error:
            raise ServiceUnavailable(f"git can't be started: {error.strerror}") from None

    def _must(self, *arguments: str, feed: Iterable[bytes] = ()) -> str:
        done = self.git(*arguments, feed=feed)
        if done.code:
            raise ServiceUnavailable(
                f"git {arguments[0]} in {self.path} failed: {last_line(done.errors) or f'exit code {done.code}'}",
                "see that its disk has room and that it belongs to the consumer's user; `devicevault git rebuild` "
                "makes it anew",
            )
        return done.output

    def _remove_stale_locks(self) -> None:
        """Locks of a git that was killed: whoever has the repository to itself may remove them."""
        for lock in (self.path / "refs" / "heads").glob("*.lock"):
            lock.unlink(missing_ok=True)
        for name in ("HEAD.lock", "config.lock", "packed-refs.lock", "gc.pid"):
            (self.path / name).unlink(missing_ok=True)


def _stream(ref: str, head: str, commits: Iterable[Commit]) -> Iterator[bytes]:
    """What ``git fast-import`` reads; each file follows the one before, so that no more than one text is in memory."""
    if not head:
        yield f"reset {ref}\n".encode()
    parent = f"from {head}\n" if head else ""
    for commit in commits:
        seconds = int(commit.made_at.timestamp())
        message = commit.message.encode()
        yield (
            f"commit {ref}\nauthor {_person(commit.author)} {seconds} +0000\n"
            f"committer {_person(AUTHOR)} {seconds} +0000\ndata {len(message)}\n"
        ).encode()
        yield message + f"\n{parent}".encode()
        parent = ""
        for file in commit.files:
            yield from _file(file)
    yield b"done\n"


def _file(file: FileChange) -> Iterator[bytes]:
    if file.old and file.old != file.path:
        yield f"R {file.old} {file.path}\n".encode()
    if file.text is not None:
        yield f"M 100644 inline {file.path}\ndata {len(file.text)}\n".encode()
        yield file.text
        yield b"\n"
    elif not file.old:
        yield f"D {file.path}\n".encode()


def _person(name: str) -> str:
    """A name as git writes it, with an address that is none."""
    plain = " ".join("".join(sign if sign.isprintable() and sign not in "<>" else " " for sign in name).split())
    return f"{plain or AUTHOR} <{EMAIL}>"


def last_line(text: str) -> str:
    """What a program said last."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "").strip()


def _unusable(path: Path, error: OSError) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the git mirror {path} can't be written: {error.strerror}", "see that its folder exists and who owns it"
    )
