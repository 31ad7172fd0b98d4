"""Files from devices, over SFTP and over the old scp protocol: real servers, and ones that misbehave."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.compression import decompress
from devicevault.messages import CollectResult, Status
from devicevault.settings import JumpSettings
from tests.collecting import CREDENTIALS, a_request, make_context
from tests.openssh import OpenSSH, openssh
from tests.ssh_services import Service, ssh_service

FILE = os.urandom(300_000)
CONFIG = b"""#config-version=FGT60F-7.4.1-FW-build2463-230830:opmode=0:vdom=0:user=admin
config system global
    set hostname "fw1"
end
"""

#: Of a UPS: what changes by itself stands in the heading, and no mark at the end.
APC = b"""; Schneider Electric\r
; Network Management Card AOS v2.5.0.8\r
; Smart-UPS APP v2.5.0.6\r
; Configuration file, generated on 11/24/2026 at 16:08:12 by Administrator apc\r
\r
[NetworkTCP/IP]\r
SystemIP=192.0.2.12\r
[NetworkSNMP]\r
AccessControl1Community=cAnArY01\r
UserProfile1AuthPhrase=not shown\r
[SystemID]\r
Name=ups1\r
"""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    with openssh(tmp_path_factory.mktemp("sshd"), "Subsystem sftp internal-sftp") as server:
        yield server


@pytest.fixture
def context(tmp_path: Path, sshd: OpenSSH) -> CollectorContext:
    return make_context(tmp_path, sshd.credential("lab"), attempts=1)


def fetched(context: CollectorContext, server: OpenSSH | Service, platform: str, **fields: Any) -> CollectResult:
    given = {"address": "127.0.0.1", "port": server.port, "credentials": ("lab",), **fields}
    return collect(a_request(platform=platform, **given), context)


def words(result: CollectResult) -> str:
    return "\n".join([result.error_message, *(line.message for line in result.log)])


def test_a_file_is_fetched_with_a_key_and_kept_sealed(context: CollectorContext, sshd: OpenSSH, tmp_path: Path) -> None:
    (tmp_path / "app.tgz").write_bytes(FILE)
    result = fetched(context, sshd, "sftp_file", options={"files": [str(tmp_path / "app.tgz")]})
    assert (result.status, result.error_message) == (Status.SUCCESS, "")
    assert result.is_binary
    [artifact] = result.artifacts
    assert artifact.name == "app.tgz"
    assert artifact.media_type == "application/octet-stream"
    assert artifact.text.startswith(f"app.tgz: {len(FILE)} bytes, hmac-sha256:")
    assert result.host_key == sshd.host_key()
    assert f"{len(FILE)} bytes, as the file has before and after" in result.completeness


def test_several_files_are_several_artifacts_and_texts_where_the_device_says_so(
    context: CollectorContext, sshd: OpenSSH, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "app.conf").write_text(f"name {folder}\npassword cAnArY-{folder}\n")
    (tmp_path / "other.conf").write_text("x 1\n")
    paths = [str(tmp_path / name) for name in ("a/app.conf", "b/app.conf", "other.conf")]
    result = fetched(context, sshd, "sftp_file", options={"files": paths, "text": True})
    assert result.status == Status.SUCCESS, words(result)
    assert not result.is_binary
    names = [artifact.name for artifact in result.artifacts]
    assert names[2] == "other.conf"
    assert [name.endswith(end) for name, end in zip(names, ("a_app.conf", "b_app.conf"), strict=False)] == [True] * 2
    assert "name a" in result.artifacts[0].text
    assert "cAnArY" not in "".join(artifact.text for artifact in result.artifacts) + words(result)


def test_the_newest_archive_is_the_backup(context: CollectorContext, sshd: OpenSSH, tmp_path: Path) -> None:
    for name, age in (("old.ucs", 1_000), ("new.ucs", 3_000), ("aaa.ucs", 2_000), ("later.txt", 9_000)):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, (age, age))
    result = fetched(context, sshd, "sftp_file", options={"files": [f"{tmp_path}/*.ucs"]})
    assert result.status == Status.SUCCESS, words(result)
    assert result.artifacts[0].text.startswith("newest.ucs: 7 bytes, ")
    assert "The newest of 3 files" in words(result)


def test_a_big_ip_gives_its_newest_archive(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "var" / "local" / "ucs"
    folder.mkdir(parents=True)
    for name, age in (("weekly.ucs", 1_000), ("daily.ucs", 2_000)):
        (folder / name).write_bytes(FILE + name.encode())
        os.utime(folder / name, (age, age))
    (tmp_path / "root" / "VERSION").write_text("Product: BIG-IP\nVersion: 15.1.2\nBuild: 0.0.9\n")
    context = make_context(tmp_path, CREDENTIALS, attempts=1)
    root = bytes(tmp_path / "root")
    with ssh_service(sftp=lambda channel: asyncssh.SFTPServer(channel, chroot=root)) as server:
        result = fetched(context, server, "f5_ucs")
    assert result.status == Status.SUCCESS, words(result)
    [artifact] = result.artifacts
    assert artifact.name == "backup.ucs"
    assert result.facts.version == "15.1.2"
    assert decompress(artifact.original) == FILE + b"daily.ucs"


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/nowhere/x.cfg", "rejected", "has no file /nowhere/x.cfg"),
        ("/nowhere/*.cfg", "rejected", "has no file /nowhere/*.cfg"),
        ("/proc/self", "rejected", "does not give /proc/self"),
    ],
)
def test_a_file_that_is_not_there_is_told(
    path: str, error: str, said: str, context: CollectorContext, sshd: OpenSSH
) -> None:
    result = fetched(context, sshd, "sftp_file", options={"files": [path]})
    assert (result.status, result.error) == (Status.FAILURE, error)
    assert said in result.error_message


def test_a_file_over_the_limit_is_not_even_begun(tmp_path: Path, sshd: OpenSSH) -> None:
    (tmp_path / "big").write_bytes(bytes(2_000_000))
    context = make_context(tmp_path, sshd.credential("lab"), max_artifact_mb=1, attempts=1)
    assert fetched(context, sshd, "sftp_file", options={"files": [f"{tmp_path}/big"]}).error == "too_large"


def test_a_device_that_does_not_say_which_files_is_told(context: CollectorContext, sshd: OpenSSH) -> None:
    result = fetched(context, sshd, "sftp_file")
    assert result.error == "platform"
    assert "give it options.files" in result.error_message


def test_a_changed_host_key_is_refused_before_anything_is_asked(context: CollectorContext, sshd: OpenSSH) -> None:
    with ssh_service() as other:
        result = fetched(context, sshd, "sftp_file", options={"files": ["/etc/hosts"]}, host_keys=(other.host_key,))
    assert result.error == "host_key"
    assert result.host_key == sshd.host_key()


def test_a_file_comes_through_a_jump_host(tmp_path: Path, sshd: OpenSSH) -> None:
    (tmp_path / "app.tgz").write_bytes(FILE)
    context = make_context(tmp_path, sshd.credential("lab"), attempts=1, jump=("hop",))
    hop = JumpSettings(address="127.0.0.1", port=sshd.port, credential="lab", host_key=(sshd.host_key(),))
    settings = context.settings.model_copy(update={"jumps": {"hop": hop}})
    context = CollectorContext(settings, context.credentials, context.platforms, context.sealer)
    result = fetched(context, sshd, "sftp_file", options={"files": [f"{tmp_path}/app.tgz"]})
    assert result.status == Status.SUCCESS, words(result)
    assert "through hop as" in words(result)


def test_a_configuration_comes_over_scp(context: CollectorContext, sshd: OpenSSH, tmp_path: Path) -> None:
    """The far side is OpenSSH's own scp; ``sys_config`` lies where it looks first."""
    page = context.platforms.get("fortinet_fortios_scp")
    source = page.artifacts[0].model_copy(update={"ask": (f"{tmp_path}/sys_config", f"{tmp_path}/fgt-config")})
    pages = {"scp": page.model_copy(update={"artifacts": (source,)})}
    context = CollectorContext(context.settings, context.credentials, type(context.platforms)(pages), context.sealer)
    assert fetched(context, sshd, "scp").error == "rejected"
    (tmp_path / "fgt-config").write_bytes(CONFIG)
    result = fetched(context, sshd, "scp")
    assert result.status == Status.SUCCESS, words(result)
    assert 'set hostname "fw1"' in result.artifacts[0].text
    assert "No such file" in words(result)
    assert (result.facts.model, result.facts.version) == ("FGT60F", "7.4.1")
    assert f"{len(CONFIG)} bytes, as the device told" in result.completeness


class Misbehaving(asyncssh.SFTPServer):
    """Serves one file, wrongly."""

    def __init__(self, channel: Any, fault: str) -> None:
        super().__init__(channel)
        self._fault = fault
        self._stats = 0

    def _told(self, size: int) -> asyncssh.SFTPAttrs:
        return asyncssh.SFTPAttrs(size=size, permissions=0o100644, atime=1, mtime=1)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        return object()

    def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        return self._told(len(FILE))

    def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        return self._told(len(FILE) + (self._fault == "grows"))

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        end = len(FILE) // 2 if self._fault == "short" else len(FILE)
        if self._fault == "hangs" and offset > len(FILE) // 2:
            await asyncio.Event().wait()
        return FILE[offset : min(end, offset + size)]

    def close(self, file_obj: object) -> None:
        """Nothing to close."""


def served(fault: str) -> Callable[[Any], asyncssh.SFTPServer]:
    return lambda channel: Misbehaving(channel, fault)


@pytest.mark.parametrize(
    ("fault", "error"), [("", ""), ("grows", "truncated"), ("short", "truncated"), ("hangs", "timeout")]
)
def test_a_file_that_changes_or_stops_is_no_backup(fault: str, error: str, tmp_path: Path) -> None:
    context = make_context(tmp_path, CREDENTIALS, attempts=1)
    with ssh_service(sftp=served(fault)) as server:
        limit = {"deadline_s": 3.0} if error == "timeout" else {}
        result = fetched(context, server, "sftp_file", options={"files": ["/backup.bin"]}, **limit)
    assert result.error == error, words(result)
    assert len(result.artifacts) == (not error)


def test_a_server_without_sftp_is_told(tmp_path: Path) -> None:
    context = make_context(tmp_path, CREDENTIALS)
    with ssh_service() as server:
        result = fetched(context, server, "sftp_file", options={"files": ["/x"]})
    assert "has no SFTP" in result.error_message
    assert result.attempt == 1


def scp(*answers: bytes, file: str = "sys_config") -> Callable[[asyncssh.SSHServerProcess[bytes]], Any]:
    async def process(process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert process.command == f"scp -f {file}"
        for answer in answers:
            await process.stdin.read(1)
            process.stdout.write(answer)
        process.exit(0)

    return process


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ((b"C0600 %d sys_config\n" % len(CONFIG), CONFIG + b"\0"), "", ""),
        ((b"T1 0 1 0\n", b"C0600 %d sys_config\n" % len(CONFIG), CONFIG + b"\0"), "", ""),
        ((b"C0600 %d sys_config\n" % len(CONFIG), CONFIG[:-10]), "truncated", "stopped after"),
        ((b"C0600 %d sys_config\n" % len(CONFIG), CONFIG), "truncated", "did not say that it sent"),
        ((b"\x01501-Permission Denied\n",), "rejected", "501-Permission Denied"),
        ((b"C0600 999999999999 sys_config\n",), "too_large", "raise ssh.max_artifact_mb"),
    ],
)
def test_what_an_scp_server_says_is_judged(answers: tuple[bytes, ...], error: str, said: str, tmp_path: Path) -> None:
    context = make_context(tmp_path, CREDENTIALS, attempts=1)
    page = context.platforms.get("fortinet_fortios_scp")
    source = page.artifacts[0].model_copy(update={"ask": ("sys_config",)})
    pages = type(context.platforms)({"scp": page.model_copy(update={"artifacts": (source,)})})
    context = CollectorContext(context.settings, context.credentials, pages, context.sealer)
    with ssh_service(process=scp(*answers)) as server:
        result = fetched(context, server, "scp")
    assert result.error == error, words(result)
    assert said in result.error_message


def test_a_power_unit_gives_its_configuration_over_scp(tmp_path: Path) -> None:
    context = make_context(tmp_path, CREDENTIALS, attempts=1)
    with ssh_service(process=scp(b"C0644 %d config.ini\n" % len(APC), APC + b"\0", file="config.ini")) as server:
        result = fetched(context, server, "apc_aos")
    assert (result.status, result.error_message) == (Status.SUCCESS, "")
    [artifact] = result.artifacts
    assert "AccessControl1Community=<secret hidden>\nUserProfile1AuthPhrase=not shown\n" in artifact.text
    assert "generated on" not in artifact.text
    assert (result.facts.model, result.facts.version) == ("Smart-UPS", "2.5.0.8")
