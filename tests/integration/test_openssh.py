"""A real OpenSSH server: its host keys, its algorithms, and a real shell to read from."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import collect
from devicevault.messages import CollectRequest, CollectResult
from tests.collecting import make_context
from tests.conftest import missing
from tests.servers import Process, accepts, free_port

pytestmark = pytest.mark.services

SSHD = Path("/usr/sbin/sshd")


@dataclass
class OpenSSH:
    """One sshd with two host keys, which lets this user in with one key."""

    folder: Path
    port: int

    def host_key(self, kind: str) -> str:
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def collect(self, passphrase: str = "key canary", **changes: Any) -> CollectResult:
        key = (self.folder / "user").read_text()
        user = pwd.getpwuid(os.getuid()).pw_name
        credentials = f'[credentials.lab]\nusername = "{user}"\nkey = """\n{key}"""\npassphrase = "{passphrase}"\n'
        ssh = changes.pop("ssh", {})
        request = CollectRequest(
            **{
                "task_id": str(uuid.uuid4()),
                "device_id": "here",
                "device": "here",
                "address": "localhost",
                "port": self.port,
                "platform": "linux",
                "credentials": ("lab",),
                "requested_at": datetime.now(UTC),
                "deadline_s": 30.0,
                **changes,
            }
        )
        return collect(request, make_context(self.folder, credentials, attempts=1, **ssh))


def make_key(path: Path, kind: str, passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)


def serve(folder: Path, *lines: str) -> Iterator[OpenSSH]:
    if not SSHD.exists() or not shutil.which("ssh-keygen"):
        missing("needs sshd: apt-get install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for kind in ("ed25519", "rsa"):
        make_key(folder / f"host_{kind}", kind)
    make_key(folder / "user", "ed25519", "key canary")
    server = OpenSSH(folder, free_port())
    (folder / "sshd_config").write_text(
        "\n".join(
            [
                f"Port {server.port}",
                "ListenAddress 127.0.0.1",
                f"HostKey {folder}/host_ed25519",
                f"HostKey {folder}/host_rsa",
                f"AuthorizedKeysFile {folder}/user.pub",
                "PermitRootLogin yes",
                "PasswordAuthentication no",
                "StrictModes no",
                "UsePAM no",
                "PidFile none",
                *lines,
            ]
        )
    )
    process = Process([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], folder / "sshd.log")
    process.start(lambda: accepts(server.port), 20)
    yield server
    process.stop()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    """OpenSSH as Debian configures it."""
    yield from serve(tmp_path_factory.mktemp("sshd"))


@pytest.fixture
def old_sshd(tmp_path: Path) -> Iterator[OpenSSH]:
    """OpenSSH that speaks only what old devices speak."""
    yield from serve(
        tmp_path, "KexAlgorithms diffie-hellman-group1-sha1", "Ciphers 3des-cbc", "HostKeyAlgorithms ssh-rsa"
    )


def test_a_real_shell_is_read_whole_with_an_encrypted_key(sshd: OpenSSH) -> None:
    result = sshd.collect()
    assert (result.status, result.error_message) == ("success", "")
    assert result.address in ("127.0.0.1", "::1")
    hostname = Path("/etc/hostname").read_text().strip()
    assert f"# file: /etc/hostname\n{hostname}\n" in result.device_config


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_server_with_two_host_keys_is_asked_for_the_pinned_one(sshd: OpenSSH, kind: str) -> None:
    pinned = sshd.host_key(kind)
    result = sshd.collect(host_keys=(pinned,), ssh={"host_keys": "strict"})
    assert (result.status, result.host_key) == ("success", pinned)


def test_old_algorithms_are_used_only_where_they_are_allowed_and_are_named(old_sshd: OpenSSH) -> None:
    refused = old_sshd.collect()
    assert refused.error == "unreachable"
    assert 'algorithms = "legacy"' in refused.error_message
    allowed = old_sshd.collect(options={"algorithms": "legacy"})
    assert (allowed.status, allowed.error_message) == ("success", "")
    (warning,) = [line.message for line in allowed.log if line.severity == "warning"]
    assert "3des-cbc, diffie-hellman-group1-sha1, ssh-rsa" in warning
