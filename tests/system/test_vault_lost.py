"""What the vault gives out works from the packaged units, and a vault that is lost is put together again elsewhere.

The first machine mirrors to a remote, tells two receivers, and is switched off; the second is made from its backup with
the very lines of docs/backup.md. The device is a router, which both machines have with the same host key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system import vault
from tests.system.documented import block, type_block
from tests.system.machine import Machine, booted

DEVICE = "edge-r1"
WORKER, CONSUMER = vault.DAEMONS
REMOTE = "git.example.net"
#: Stands in the router's configuration.
SECRET = "Canary-Router-37"
DRILL = "## The drill"
PASSPHRASE = "five words are long enough"
NAS = "/mnt/nas"
TICKETS = "/var/lib/devicevault/tickets"
MAIL = "/root/mail"
#: Keeps every message it is given; as much of RFC 5321 as Apprise needs.
SMTP_SINK: Final = f"""
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 sink\\r\\n")
        with open({MAIL!r}, "ab") as mail:
            while line := self.rfile.readline():
                mail.write(line)
                mail.flush()
                verb = line.strip().upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\\r\\n")
                    while (line := self.rfile.readline()) not in (b".\\r\\n", b""):
                        mail.write(line)
                    mail.flush()
                self.wfile.write(b"221 bye\\r\\n" if verb == b"QUIT" else b"250 sink\\r\\n")
socketserver.ThreadingTCPServer(("127.0.0.1", 25), Handler).serve_forever()
"""
SETTINGS: Final = f"""
[mirror]
enabled = true
remote = "ssh://git@{REMOTE}/srv/network.git"

[receivers.noc]
apprise = {{ file = "/etc/devicevault/noc.url" }}

[receivers.ticket]
command = ["/usr/local/bin/open-ticket", "network"]
"""


@pytest.fixture(scope="module")
def first(root: Path, package: Path, safe: Path) -> Iterator[Machine]:
    """A vault with a router, a git server and a mail server beside it."""
    with booted(root, "devicevault-first") as machine:
        machine.install(package)
        router(machine, "192.0.2.0/24")
        vault.write_devices(machine, {DEVICE: 22}, platform="frr")
        credentials = machine.path("/etc/devicevault/credentials.toml")
        credentials.write_text(credentials.read_text().replace('"backup"', '"backup-user"'))
        machine.path("/etc/devicevault/config.d/outputs.toml").write_text(SETTINGS)
        git_server(machine)
        mail_server(machine)
        ticket = machine.path("/usr/local/bin/open-ticket")
        ticket.write_text(f'#!/bin/sh\n[ "$1" = network ] && cat >> {TICKETS}\n')
        ticket.chmod(0o755)
        vault.start(machine, *vault.START_ORDER)
        yield machine


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is kept elsewhere when the first machine is lost."""
    return tmp_path_factory.mktemp("safe")


@pytest.fixture(scope="module")
def second(first: Machine, root: Path, package: Path, safe: Path) -> Iterator[Machine]:
    """A machine with nothing but the package, and what is left of the first one."""
    shutil.copytree(first.path(NAS), safe, dirs_exist_ok=True)
    first.power_off()
    with booted(root, "devicevault-second") as machine:
        machine.install(package)
        shutil.copytree(safe, machine.path(NAS), dirs_exist_ok=True)
        router(machine, "192.0.2.0/24")
        yield machine


def router(machine: Machine, *networks: str) -> None:
    """FRRouting, which the vault reaches over SSH."""
    machine.run("useradd", "--groups", "frrvty", "--shell", "/usr/bin/vtysh", "backup-user")
    machine.run("chpasswd", stdin=f"backup-user:{vault.PASSWORD}\n")
    configure(machine, f"enable password {SECRET}", *(f"ip route {network} Null0" for network in networks))


def configure(machine: Machine, *lines: str) -> None:
    words = [word for line in ("configure terminal", *lines) for word in ("-c", line)]
    machine.run("vtysh", *words)


def git_server(machine: Machine) -> None:
    """The remote the page calls git.example.net, on the machine's own SSH server."""
    with machine.path("/etc/hosts").open("a") as hosts:
        hosts.write(f"127.0.0.1 {REMOTE}\n")
    machine.run("useradd", "--create-home", "--shell", "/usr/bin/git-shell", "git")
    machine.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "/srv/network.git")
    machine.run("chown", "-R", "git:", "/srv/network.git")


def mail_server(machine: Machine) -> None:
    machine.path("/root/sink.py").write_text(SMTP_SINK)
    machine.run("systemd-run", "--unit=sink", "python3", "/root/sink.py")
    machine.path("/etc/devicevault/noc.url").write_text(
        "mailto://127.0.0.1?from=vault@example.net&to=noc@example.net\n"
    )
    machine.run("chown", "devicevault", "/etc/devicevault/noc.url")
    machine.run("chmod", "600", "/etc/devicevault/noc.url")


def collect(machine: Machine) -> None:
    machine.run("devicevault", "collect", DEVICE, "--wait", "--timeout", "60")


def remote_log(machine: Machine) -> list[str]:
    return machine.try_run(
        "git", "-C", "/srv/network.git", "-c", "safe.directory=*", "log", "--format=%s"
    ).stdout.splitlines()


def standing(machine: Machine) -> dict[str, Any]:
    return dict(json.loads(machine.try_run("devicevault", "git", "status", "--json").stdout))


def test_the_mirror_is_pushed_over_ssh(first: Machine) -> None:
    """With the lines of docs/git.md; before them the push fails, and says so where one looks."""
    collect(first)
    first.wait_until(lambda: standing(first)["push_trouble"] != "", 60, "the push fails")
    assert "Host key verification failed" in standing(first)["push_trouble"]
    key = type_block(first, "git.md", "ssh-keygen").splitlines()[-1]
    first.run("install", "-d", "-m", "700", "-o", "git", "-g", "git", "/home/git/.ssh")
    first.path("/home/git/.ssh/authorized_keys").write_text(key + "\n")
    type_block(first, "git.md", "devicevault devicevault git push")
    assert remote_log(first)[0] == "dmz: first backup of edge-r1"
    type_block(first, "git.md", "/etc/devicevault/mirror.key")
    configure(first, "ip route 198.51.100.0/24 Null0")
    collect(first)
    first.wait_until(lambda: "dmz: edge-r1 changed" in remote_log(first), 90, "the consumer pushes")
    first.wait_until(lambda: standing(first)["push_trouble"] == "", 30, "it says so")


def test_both_receivers_are_told(first: Machine) -> None:
    """Of the change, with its difference; by mail and through the program."""
    first.wait_until(lambda: "edge-r1 changed" in first.try_run("cat", TICKETS).stdout, 60, "the program is told")
    first.wait_until(lambda: "edge-r1 changed" in first.try_run("cat", MAIL).stdout, 60, "the mail has come")
    (message, *_) = map(json.loads, first.path(TICKETS).read_text().splitlines())
    (notice,) = [one for one in message["notices"] if one["kind"] == "changed"]
    assert "+ip route 198.51.100.0/24 Null0" in notice["diff"]


def test_no_secret_is_in_what_is_given_out(first: Machine) -> None:
    assert SECRET in first.run("devicevault", "show", DEVICE, "--original")
    git = "git --git-dir /var/lib/devicevault/mirror.git -c safe.directory=*"
    mirror = f"{git} cat-file --batch --batch-all-objects | cat -v"
    for told in (
        first.run("sh", "-c", mirror),
        first.run("journalctl", "--quiet", "--output=export"),
        first.run("cat", TICKETS, MAIL),
        first.run("devicevault", "show", DEVICE),
    ):
        assert "ip route" in told or "edge-r1" in told
        assert SECRET not in told


def test_a_backup_is_made_while_the_vault_works(first: Machine) -> None:
    first.run("mkdir", "-p", NAS)
    first.path("/root/vault.passphrase").write_text(PASSPHRASE + "\n")
    type_block(first, "backup.md", "devicevault export --originals /mnt/nas")


def test_a_lost_vault_is_put_together_again(second: Machine) -> None:
    info = json.loads(type_block(second, "backup.md", "restore --info"))
    assert (info["host"], info["devices"], info["revisions"]) == ("vault", 1, 2)
    said = type_block(
        second, "backup.md", "devicevault restore /mnt/nas/vault.backup\n", DRILL, stdin=PASSPHRASE + "\n"
    )
    assert block("backup.md", "systemctl enable --now", "6. Start the services").splitlines()[0] in said
    type_block(second, "backup.md", "--original -o /root")
    for opened in ("edge-r1.conf", "edge-r1.exported"):
        assert SECRET in second.path(f"/root/{opened}").read_text()


def test_its_services_start_and_its_history_goes_on(second: Machine) -> None:
    configure(second, "ip route 198.51.100.0/24 Null0")
    second.run("bash", "-ec", block("backup.md", "systemctl enable --now", "6. Start the services").splitlines()[0])
    assert all(map(second.is_active, vault.DAEMONS))
    type_block(second, "backup.md", "devicevault history edge-r1")
    history = vault.history(second, DEVICE)
    assert [revision["number"] for revision in history["revisions"]] == [2, 1], "the router is as it was"
    configure(second, "ip route 203.0.113.0/24 Null0")
    collect(second)
    history = vault.history(second, DEVICE)
    assert [(revision["number"], revision["reason"]) for revision in history["revisions"]] == [
        (3, "changed"),
        (2, "changed"),
        (1, "first"),
    ]
    assert "+ip route 203.0.113.0/24 Null0" in second.run("devicevault", "diff", DEVICE)
    assert SECRET in second.run("devicevault", "show", DEVICE, "--original")
    second.wait_until(lambda: standing(second)["files"] == 1, 60, "the mirror is made anew")
    findings = json.loads(second.try_run("devicevault", "doctor", "--json").stdout)
    assert [finding for finding in findings if finding["state"] == "fault"] == []
