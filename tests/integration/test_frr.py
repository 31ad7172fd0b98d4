"""A real router: FRRouting's bgpd and vtysh behind a real OpenSSH server."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from devicevault.errors import ExitCode
from tests.conftest import missing
from tests.installation import Installation
from tests.servers import Process, accepts, free_port

pytestmark = pytest.mark.services

BGPD = Path("/usr/lib/frr/bgpd")
VTYSH = Path("/usr/bin/vtysh")
SSHD = Path("/usr/sbin/sshd")

CONFIGURATION = (
    "hostname edge-1",
    "router bgp 64512",
    "bgp router-id 192.0.2.1",
    "no bgp ebgp-requires-policy",
    "neighbor 192.0.2.2 remote-as 64513",
    "neighbor 192.0.2.2 password Router-Canary",
    "neighbor 192.0.2.2 description upstream edge-1# show running-config",
)


class Router:
    """bgpd without zebra, so that it touches nothing of this machine's network; vtysh is its command line."""

    def __init__(self, folder: Path) -> None:
        self.sockets = folder / "sockets"
        self.vtysh = [str(VTYSH), "--vty_socket", str(self.sockets), "--config_dir", str(folder)]
        self._folder = folder
        as_user = [] if os.geteuid() == 0 else ["--user", pwd.getpwuid(os.geteuid()).pw_name]
        command = [str(BGPD), "--no_zebra", "--bgp_port", "0", "--vty_port", "0", "--skip_runas", *as_user]
        command += ["--vty_socket", str(self.sockets), "--pid_file", str(folder / "bgpd.pid")]
        command += ["--config_file", str(folder / "bgpd.conf")]
        self.process = Process(command, folder / "bgpd.log")

    def __enter__(self) -> Router:
        self.sockets.mkdir()
        (self._folder / "bgpd.conf").touch()
        (self._folder / "vtysh.conf").write_text("no service integrated-vtysh-config\n")
        self.process.start((self.sockets / "bgpd.vty").exists)
        self.configure(*CONFIGURATION)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def configure(self, *lines: str) -> None:
        """What somebody types on the router."""
        self.ask("configure terminal", *lines)

    def ask(self, *commands: str) -> str:
        typed = [word for command in commands for word in ("-c", command)]
        return subprocess.run([*self.vtysh, *typed], check=True, capture_output=True, text=True, timeout=20).stdout


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    """A router with a configuration."""
    for program, package in ((BGPD, "frr"), (SSHD, "openssh-server")):
        if not program.exists():
            missing(f"{program} is missing: apt-get install {package}")
    folder = tmp_path / "frr"
    folder.mkdir()
    with Router(folder) as running:
        yield running


@pytest.fixture
def port(tmp_path: Path, router: Router) -> Iterator[int]:
    """An OpenSSH server on which everybody who logs in lands in the router's vtysh, as on a router."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(folder / "host_key")
    (folder / "host_key").chmod(0o600)
    login_key = asyncssh.generate_private_key("ssh-ed25519")
    login_key.write_private_key(folder / "login_key", passphrase="Router-Passphrase")
    (folder / "login_key").chmod(0o600)
    login_key.write_public_key(folder / "authorized_keys")
    number = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {number}\nHostKey {folder}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
        f"PasswordAuthentication no\nForceCommand {' '.join(router.vtysh)}\n"
    )
    server = Process([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], folder / "sshd.log")
    server.start(lambda: accepts(number))
    try:
        yield number
    finally:
        server.stop()


@pytest.fixture
def vault(tmp_path: Path, port: int) -> Installation:
    """DeviceVault, set up for the router; no broker and no Redis is near."""
    nobody = f"redis://127.0.0.1:{free_port()}"
    made = Installation(tmp_path / "etc", f"{nobody}/0", f"{nobody}/1", f"sqlite:///{tmp_path}/devicevault.db")
    user = pwd.getpwuid(os.geteuid()).pw_name
    made.write_credentials(
        f'[credentials.router]\nusername = "{user}"\nkey = {{ file = "{tmp_path}/sshd/login_key" }}\n'
        'passphrase = "Router-Passphrase"\n'
    )
    made.write_inventory(
        f'[devices.edge-1]\nplatform = "frr"\ncredential = "router"\naddress = "127.0.0.1"\nport = {port}\n'
    )
    made.ok("keys", "create")
    return made


def test_a_real_router_is_backed_up_and_its_change_is_found(vault: Installation, router: Router) -> None:
    """All of it arrives, its password hidden; only a change makes a revision; the router stays as it is."""
    held = router.ask("show running-config")
    vault.ok("collect", "--inline", "edge-1")
    assert router.ask("show running-config") == held

    shown = vault.ok("show", "edge-1")
    body = held[held.index("frr version") :]
    assert "Router-Canary" in body
    assert body.replace("Router-Canary", "<secret hidden>") in shown
    assert "Router-Canary" in vault.ok("show", "edge-1", "--original")

    vault.ok("collect", "--inline", "edge-1")
    assert [revision["number"] for revision in vault.json("history", "edge-1")["revisions"]] == [1]

    router.configure("router bgp 64512", "neighbor 192.0.2.3 remote-as 64514")
    vault.ok("collect", "--inline", "edge-1")
    difference = vault.ok("diff", "edge-1")
    assert "\n+ neighbor 192.0.2.3 remote-as 64514\n" in difference
    assert "Router-Canary" not in difference


def test_a_router_that_answers_with_an_error_is_no_backup(vault: Installation, router: Router) -> None:
    """bgpd gone, vtysh still lets everybody in; what it then says is not taken for a configuration."""
    vault.ok("collect", "--inline", "edge-1")
    router.process.stop()
    ended = vault.run("collect", "--inline", "edge-1")
    assert ended.returncode == ExitCode.DEVICES_FAILED
    assert "failed to connect to any daemons" in ended.stdout
    assert [revision["number"] for revision in vault.json("history", "edge-1")["revisions"]] == [1]
