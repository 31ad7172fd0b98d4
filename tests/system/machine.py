"""A Debian machine with systemd as PID 1, booted by systemd-nspawn from a prepared root that stays as it is.

What a test does to the machine lands in an overlay, which survives the machine's reboots and ends with the test.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.system.cgroups import own_cgroups

#: What a machine has before DeviceVault comes. Services among them run from boot.
PACKAGES: Final = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "procps",
    "iproute2",
    "man-db",
    "python3",
    "git",
    "redis-server",
    "rabbitmq-server",
    "openssh-server",
    "frr",
    "autopkgtest",
    "dpkg-dev",
)
HOSTNAME: Final = "vault"
MIRROR: Final = "http://deb.debian.org/debian"
#: Where prepared roots are kept, for every clone on this host.
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devicevault" / "machines"
#: Where machines are mounted.
FOLDERS: Final = "/var/tmp"
#: What may change on a machine; an installation of the package changes 200 MB.
CHANGES_AT_MOST: Final = "2g"

BOOTED_WITHIN_S: Final = 120
COMMAND_WITHIN_S: Final = 120
STOPPED_WITHIN_S: Final = 30
POLL_S: Final = 0.2
NSPAWN: Final = (
    "systemd-nspawn",
    "--quiet",
    "--boot",
    # PID 1 of this host may be anything: no unit, no registration.
    "--register=no",
    "--keep-unit",
    "--console=read-only",
    "--private-network",
    "--resolv-conf=off",
    "--timezone=off",
    # For IPAddressAllow=, which systemd puts into the kernel as a program.
    "--system-call-filter=bpf",
)
#: Control groups as Debian has them, whatever this host uses.
NSPAWN_ENVIRON: Final = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
ENTER: Final = ("nsenter", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")

#: How systemd-nspawn ends when the machine reboots.
REBOOTED: Final = 133

#: What a person who logs in as root has, and nothing of the environment of the tests.
ENVIRON: Final = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
)


class MachineError(Exception):
    """The machine, or a command on it, did not do what it should."""


def prepared_root(release: str) -> Path:
    """The root of a machine of this release, made once and kept in :data:`CACHE`, whoever asks for it meanwhile."""
    recipe = " ".join((release, HOSTNAME, *PACKAGES))
    root = CACHE / f"{release}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            part = root.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _make_root(release, part)
            part.rename(root)
    return root


def _make_root(release: str, root: Path) -> None:
    made = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, root, mirror()],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise MachineError(f"no root of {release} could be made:\n{made.stdout}{made.stderr}")


def _settle(root: Path, hostname: str, without: Sequence[str]) -> None:
    """Give a machine its name, and take services away from it."""
    (root / "etc/hostname").write_text(f"{hostname}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n")
    for service in without:
        (root / f"etc/systemd/system/{service}.service").symlink_to("/dev/null")


def mirror() -> str:
    """Where packages come from: ``$DEBIAN_MIRROR``, or this machine's own mirror, or Debian's."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    own = re.search(r"^URIs: *(\S+)", sources.read_text(), re.MULTILINE) if sources.exists() else None
    return os.environ.get("DEBIAN_MIRROR") or (own[1] if own else MIRROR)


def cannot_boot() -> str:
    """Why this host boots no machine, such as a container that may not mount anything; empty when it does."""
    with tempfile.TemporaryDirectory(prefix="devicevault-trial-", dir=FOLDERS) as folder:
        trial = Path(folder)
        root = trial / "root"
        root.mkdir()
        try:
            with _overlay(root, trial), own_cgroups(trial.name):
                return ""
        except (MachineError, OSError) as error:
            return str(error)


class Machine:
    """A running machine; made by :func:`booted`."""

    def __init__(self, root: Path, name: str, hostname: str, log: Path, before: Sequence[str]) -> None:
        """``before``: what the command that boots it begins with."""
        #: The machine's files, as they are now.
        self.root = root
        self._name = name
        self._hostname = hostname
        self._log = log
        self._before = before
        self._boot()

    def _boot(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *self._before,
                    *NSPAWN,
                    f"--directory={self.root}",
                    f"--machine={self._name}",
                    f"--hostname={self._hostname}",
                ],
                env={**os.environ, **NSPAWN_ENVIRON},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def leader(self) -> int:
        """The process id of the machine's PID 1, as this host sees it."""
        try:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            return int(children[0])
        except (OSError, IndexError):
            raise MachineError(f"the machine has no process:\n{self._console_tail()}") from None

    def _console_tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def path(self, inside: str) -> Path:
        """A file of the machine's, to read and write from outside."""
        return self.root / inside.lstrip("/")

    def try_run(
        self, *command: str, within_s: float = COMMAND_WITHIN_S, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on the machine, as from a shell someone just logged in to."""
        return subprocess.run(
            [*ENTER, f"--target={self.leader}", "--", "env", "-i", *ENVIRON, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    def run(self, *command: str, within_s: float = COMMAND_WITHIN_S, stdin: str = "") -> str:
        """What the command says. Raises :class:`MachineError` with its output when it fails."""
        ended = self.try_run(*command, within_s=within_s, stdin=stdin)
        if ended.returncode:
            raise MachineError(
                f"`{' '.join(command)}` ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}\n"
                f"The journal ends:\n{self.journal_tail()}"
            )
        return ended.stdout

    def property(self, unit: str, name: str) -> str:
        """A property of a unit, as ``systemctl show`` tells it."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def is_active(self, unit: str) -> bool:
        return self.property(unit, "ActiveState") == "active"

    def journal(self, *matches: str) -> list[str]:
        """The messages that match, such as ``DEVICE=core-sw1``."""
        return self.run("journalctl", "--quiet", "--output=cat", *matches).splitlines()

    def journal_tail(self) -> str:
        return self.try_run("journalctl", "--quiet", "--no-pager", "--lines=40").stdout

    def wait_until(self, is_so: Callable[[], bool], within_s: float, what: str) -> None:
        """Ask until it is so. Raises :class:`MachineError` saying what did not come to pass."""
        deadline = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > deadline:
                raise MachineError(f"{what}: not within {within_s:.0f} s. The journal ends:\n{self.journal_tail()}")
            time.sleep(POLL_S)

    def wait_until_booted(self) -> None:
        """Wait until every service of the machine has been started. Raises :class:`MachineError` when one failed."""
        deadline = time.monotonic() + BOOTED_WITHIN_S
        while (state := self._state()) not in ("running", "degraded"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f"the machine does not come up:\n{self._console_tail()}")
            time.sleep(POLL_S)
        if state != "running":
            raise MachineError(f"not all services started:\n{self.run('systemctl', '--failed', '--no-legend')}")

    def reboot(self) -> None:
        """``systemctl reboot``, and wait until the machine is up again."""
        self.try_run("systemctl", "reboot")
        ended = self._process.wait(timeout=BOOTED_WITHIN_S)
        if ended != REBOOTED:
            raise MachineError(f"the machine ended with {ended} instead of rebooting:\n{self._console_tail()}")
        self._boot()
        self.wait_until_booted()

    def power_off(self) -> None:
        """End the machine's processes at once, as pulling the plug would: nothing on it is of use any more."""
        with suppress(MachineError, ProcessLookupError):
            os.kill(self.leader, signal.SIGKILL)
        try:
            self._process.wait(timeout=STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _state(self) -> str:
        try:
            return self.try_run("systemctl", "is-system-running").stdout.strip()
        except MachineError:
            return ""  # systemd-nspawn has not got that far

    def install(self, package: Path, *options: str) -> str:
        """``apt-get install`` a package file; what apt said."""
        inside = f"/root/{package.name}"
        shutil.copy(package, self.path(inside))
        return self.run("apt-get", "install", "--yes", *options, inside)


@contextmanager
def booted(root: Path, name: str, hostname: str = HOSTNAME, without: Sequence[str] = ()) -> Iterator[Machine]:
    """A machine that has booted, ``without`` these services; in the end it is gone, with all that was done to it."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=f"devicevault-{name}-", dir=FOLDERS))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        merged = stack.enter_context(_overlay(root, folder))
        _settle(merged, hostname, without)
        before = stack.enter_context(own_cgroups(folder.name))
        machine = Machine(merged, name, hostname, folder / "console.log", before)
        stack.callback(machine.power_off)
        machine.wait_until_booted()
        yield machine


@contextmanager
def _overlay(root: Path, folder: Path) -> Iterator[Path]:
    """The root with changes of its own, in memory: on a busy disk an installation takes four times as long."""
    changes, merged = folder / "changes", folder / "merged"
    with ExitStack() as stack:
        for place in (changes, merged):
            place.mkdir()
        _mount("mount", "-t", "tmpfs", "-o", f"size={CHANGES_AT_MOST}", "devicevault-test", str(changes))
        stack.callback(_mount, "umount", "--lazy", str(changes))
        upper, work = changes / "upper", changes / "work"
        for place in (upper, work):
            place.mkdir()
        options = f"lowerdir={root},upperdir={upper},workdir={work}"
        _mount("mount", "-t", "overlay", "overlay", "-o", options, str(merged))
        stack.callback(_mount, "umount", "--lazy", str(merged))
        yield merged


def _mount(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise MachineError(f"{' '.join(command)}: {ended.stderr}")


if __name__ == "__main__":
    # With a release, as `make machines` does while other tests run; without one, whether this host boots machines.
    if sys.argv[1:]:
        prepared_root(sys.argv[1])
    elif os.geteuid() != 0 or cannot_boot():
        sys.exit(1)
