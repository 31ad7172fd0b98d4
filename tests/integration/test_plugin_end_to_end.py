"""What plugins fetch, from the request to the rows: files over SFTP and SCP and an API's answer, and their failures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from devicevault.cli import main
from devicevault.vault_keys import create_keys
from tests.apis import Request, api
from tests.installation import GROUP, Installation
from tests.integration.test_plugin_files import CONFIG, scp
from tests.integration.test_plugin_https import FORTIOS
from tests.openssh import OpenSSH, openssh
from tests.servers import RedisServer
from tests.ssh_services import ssh_service

pytestmark = pytest.mark.services

FILE = os.urandom(200_000)
TOKENS = {"token": "tOkEn-cAnArY-1", "revoked": "tOkEn-cAnArY-2", "cutting": "tOkEn-cAnArY-3"}


def fortigate(request: Request) -> None:
    """FortiOS 7's backup: whole for one token, cut for another, refused for the rest."""
    token = request.headers["Authorization"].removeprefix("Bearer ")
    if token == TOKENS["token"]:
        request.give(200, FORTIOS)
    elif token == TOKENS["cutting"]:
        request.give(200, FORTIOS[: len(FORTIOS) // 2], Content_Length=str(len(FORTIOS)))
    else:
        request.give(401, b'{"http_status": 401}')


def devices_toml(files: Path, sshd: OpenSSH, scp_port: int, api_port: int, ca_file: str) -> str:
    devices: list[tuple[str, int, str, str, str]] = [
        ("box", sshd.port, "sftp_file", "key", f'options = {{ files = ["{files}/box-*.tgz", "{files}/box.conf"] }}'),
        ("lost", sshd.port, "sftp_file", "key", f'options.files = "{files}/lost.tgz"'),
        ("fw-scp", scp_port, "fortinet_fortios_scp", "lab", ""),
        *((f"fw-{name}", api_port, "fortinet_fortios_api", name, f'options.ca_file = "{ca_file}"') for name in TOKENS),
    ]
    return f'[defaults]\ngroup = "{GROUP}"\n[groups.{GROUP}]\n' + "".join(
        f'[devices.{name}]\naddress = "127.0.0.1"\nport = {port}\nplatform = "{platform}"\n'
        f'credential = "{credential}"\n{more}\n'
        for name, port, platform, credential, more in devices
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "box-1.tgz").write_bytes(FILE)
    (folder / "box.conf").write_text("name box\n")
    return folder


@pytest.fixture
def vault(tmp_path: Path, files: Path, redis: RedisServer, redis_url: str, sqlite_url: str) -> Iterator[Installation]:
    installation = Installation(tmp_path / "etc", redis.database_url(0), redis_url, sqlite_url, "[ssh]\nattempts = 1")
    create_keys(installation.settings.vault)
    with (
        openssh(tmp_path / "sshd", "Subsystem sftp internal-sftp") as sshd,
        ssh_service(process=scp(b"C0600 %d sys_config\n" % len(CONFIG), CONFIG + b"\0")) as fortios,
        api(tmp_path, fortigate) as server,
    ):
        tokens = "".join(f'[credentials.{n}]\nusername = "api"\npassword = "{t}"\n' for n, t in TOKENS.items())
        lab = '[credentials.lab]\nusername = "backup"\npassword = "correct horse"\n'
        installation.write_credentials(tokens + lab + sshd.credential("key"))
        installation.write_inventory(devices_toml(files, sshd, fortios.port, server.port, server.ca_file))
        with installation.running():
            yield installation


def collected(vault: Installation, *arguments: str) -> dict[str, dict[str, Any]]:
    """Every device's row, by its name."""
    done = vault.run("collect", *arguments, "--wait", "--json")
    return {row["device"]: row for row in json.loads(done.stdout)["results"]}


def ok(vault: Installation, *arguments: str) -> bytes:
    """What a command that only reads prints, in this process."""
    done = CliRunner().invoke(main, ["--config", str(vault.config), *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout_bytes


def test_files_and_answers_become_rows_history_and_files_again(vault: Installation, files: Path) -> None:
    rows = collected(vault, "--all")
    ended = {name: (row["status"], row["error"]) for name, row in rows.items()}
    assert ended == {
        "box": ("success", ""),
        "fw-scp": ("success", ""),
        "fw-token": ("success", ""),
        "lost": ("failure", "rejected"),
        "fw-revoked": ("failure", "auth"),
        "fw-cutting": ("failure", "truncated"),
    }, vault.logs
    assert "has no file" in rows["lost"]["error_message"]
    assert "refuses credential 'revoked'" in rows["fw-revoked"]["error_message"]

    assert 'set hostname "fw1"' in ok(vault, "show", "fw-token").decode()
    assert ok(vault, "show", "fw-token", "--original") == FORTIOS
    assert ok(vault, "show", "fw-scp", "--original") == CONFIG
    told = ok(vault, "show", "box", "--artifact", "box-newest.tgz").decode()
    assert told.startswith(f"box-newest.tgz: {len(FILE)} bytes, hmac-sha256:")

    (files / "box-2.tgz").write_bytes(FILE[::-1])
    os.utime(files / "box-2.tgz", (2_000_000_000, 2_000_000_000))
    assert collected(vault, "box")["box"]["status"] == "success"
    (files / "box.conf").unlink()
    assert collected(vault, "box")["box"]["error"] == "rejected"

    reasons = [
        (each["artifact"], each["reason"]) for each in json.loads(ok(vault, "history", "box", "--json"))["revisions"]
    ]
    assert sorted(reasons) == [("box-newest.tgz", "changed"), ("box-newest.tgz", "first"), ("box.conf", "first")]
    ok(vault, "export", "--open", str(files / "out"))
    assert sorted(FILE[::-1] == path.read_bytes() for path in (files / "out").rglob("*.tgz")) == [True]
    said = ok(vault, "history", "box").decode() + vault.logs + json.dumps(rows)
    assert "cAnArY" not in said
