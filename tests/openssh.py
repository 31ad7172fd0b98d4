"""Real OpenSSH servers on loopback, with keys of their own: as devices and as jump hosts."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conftest import missing
from tests.servers import Process, accepts, free_port

SSHD: Final = Path("/usr/sbin/sshd")
PASSPHRASE: Final = "key canary"
USER: Final = pwd.getpwuid(os.getuid()).pw_name


@dataclass
class OpenSSH:
    """One sshd, which lets this user in with the key ``user``."""

    folder: Path
    port: int
    process: Process

    def host_key(self, kind: str = "ed25519") -> str:
        """``type base64``."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def credential(self, name: str, *lines: str) -> str:
        """An entry of credentials.toml that fits."""
        key = (self.folder / "user").read_text()
        head = f'[credentials.{name}]\nusername = "{USER}"\nkey = """\n{key}"""\npassphrase = "{PASSPHRASE}"\n'
        return head + "".join(f"{line}\n" for line in lines)

    @property
    def log(self) -> str:
        return self.process.log.read_text(errors="replace")

    @property
    def logins(self) -> int:
        """Logins accepted so far."""
        return self.log.count("Accepted ")

    def replace_host_key(self, kind: str = "ed25519") -> None:
        """What happens when a device is exchanged."""
        self.process.stop()
        for suffix in ("", ".pub"):
            (self.folder / f"host_{kind}{suffix}").unlink()
        make_key(self.folder / f"host_{kind}", kind)
        self.start()

    def start(self) -> None:
        self.process.start(lambda: accepts(self.port), 20)

    def signal_sessions(self, number: signal.Signals) -> int:
        """Sends a signal to every process that serves a connection; returns to how many."""
        master = self.process.process
        pids = _descendants(master.pid) if master is not None else []
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)


def make_key(path: Path, kind: str, passphrase: str = "") -> None:
    # A short RSA key does as well, and takes a tenth of the time.
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-f", str(path)], check=True)


@contextmanager
def openssh(folder: Path, *lines: str, kinds: tuple[str, ...] = ("ed25519",)) -> Iterator[OpenSSH]:
    """An sshd with these lines in its configuration, before those every one of them has."""
    if not SSHD.exists() or not shutil.which("ssh-keygen"):
        missing("needs sshd: apt-get install openssh-server")
    folder.mkdir(exist_ok=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for kind in kinds:
        make_key(folder / f"host_{kind}", kind)
    make_key(folder / "user", "ed25519", PASSPHRASE)
    port = free_port()
    process = Process([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], folder / "sshd.log")
    server = OpenSSH(folder, port, process)
    (folder / "sshd_config").write_text(
        "\n".join(
            [
                *lines,
                f"Port {port}",
                "ListenAddress 127.0.0.1",
                *(f"HostKey {folder}/host_{kind}" for kind in kinds),
                f"AuthorizedKeysFile {folder}/user.pub",
                "PermitRootLogin yes",
                "PasswordAuthentication no",
                "StrictModes no",
                "UsePAM no",
                "PidFile none",
                "",
            ]
        )
    )
    server.start()
    try:
        yield server
    finally:
        # They would outlive their master until their clients go.
        server.signal_sessions(signal.SIGKILL)
        process.stop()


def _descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    found: list[int] = []
    layer = [pid]
    while layer:
        layer = [child for child, parent in parents.items() if parent in layer]
        found += layer
    return found
