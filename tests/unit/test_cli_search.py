"""search, export and open, as an operator types them."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from logging_journald import JournaldTransport

from devicevault.cli import main
from devicevault.collector.seal import Sealer
from devicevault.key_rotation import add_recipient, create_pair
from devicevault.settings import Settings
from devicevault.store import open_store, write_results
from tests.results import artifact, at, request, result

Run = Callable[..., Result]

SECRET = "cAnAry-community"
SHOWN = "hostname core-sw1\nsnmp-server community <secret hidden> RO\nend\n"
SENT = f"hostname core-sw1\r\nsnmp-server community {SECRET} RO\r\nenable secret 0 other-cAnAry\r\nend\r\n".encode()
IMAGE = bytes(range(256)) * 10


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    def run_command(*arguments: str, typed: str = "") -> Result:
        variables: dict[str, str | None] = {**environ, "DEVICEVAULT_CONFIG": None}
        return CliRunner().invoke(main, arguments, env=variables, input=typed, catch_exceptions=False)

    return run_command


@pytest.fixture(autouse=True)
def vault(settings: Settings) -> None:
    """Two devices: one in two revisions, one in a group of its own with a binary artifact."""
    sealer = Sealer.from_settings(settings)

    def kept(text: str, original: bytes, **values: Any) -> Any:
        sealed, key_id = sealer.seal(original)
        return artifact(text, original=sealed, key_id=key_id, **values)

    image = kept("file, 2560 bytes\n", IMAGE, name="backup.ucs", media_type="application/octet-stream")
    with open_store(settings.database_url, migrate=True) as store:
        write_results(
            store,
            [
                result(request(), "success", kept("transport input telnet\nend\n", b"old\n")),
                result(request(minutes=1), "success", kept(SHOWN, SENT)),
                result(request("lb/1", group="dmz"), "success", kept("Telnet\n", b"Telnet\n"), image),
            ],
        )


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, str]]]]:
    """A journal that listens where journald would, and what it was told."""
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        monkeypatch.setattr(JournaldTransport, "SOCKET_PATH", path)

        def told() -> list[dict[str, str]]:
            entries: list[dict[str, str]] = []
            while True:
                try:
                    datagram = listener.recv(65536).decode()
                except BlockingIOError:
                    return entries
                entries.append(dict(line.split("=", 1) for line in datagram.splitlines()))

        yield told


class TestSearch:
    def test_lines_are_told_as_grep_tells_them(self, run: Run) -> None:
        assert run("search", "snmp-server").stdout == "core-sw1:2:snmp-server community <secret hidden> RO\n"
        assert run("search", "-i", "^telnet").stdout == "lb/1:1:Telnet\n"
        nothing = run("search", "telnet")
        assert (nothing.exit_code, nothing.stdout) == (1, "")

    def test_the_past_can_be_searched(self, run: Run) -> None:
        assert run("search", "telnet", "--history").stdout == "core-sw1@1:1:transport input telnet\n"
        assert run("search", "telnet", "--at", at(0.5).isoformat()).stdout == "core-sw1@1:1:transport input telnet\n"

    def test_it_can_be_narrowed(self, run: Run) -> None:
        assert run("search", ".", "--group", "dmz").stdout.startswith("lb/1:1:")
        assert run("search", "hostname", "--platform", "linux").exit_code == 1
        assert run("search", "hostname", "--device", "core-sw1").exit_code == 0

    def test_another_artifact_is_named(self, run: Run) -> None:
        assert run("search", "2560").stdout == "lb/1/backup.ucs:1:file, 2560 bytes\n"

    def test_as_json(self, run: Run) -> None:
        (found,) = json.loads(run("search", "community", "--json").stdout)
        assert (found["device"], found["number"]) == ("core-sw1", 2)
        assert found["lines"] == [{"number": 2, "text": "snmp-server community <secret hidden> RO"}]

    def test_mistakes_are_told(self, run: Run) -> None:
        assert "not a regular expression" in run("search", "(").stderr
        assert run("search", "(").exit_code == run("search").exit_code == 2

    def test_a_slow_expression_is_ended(self, run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("devicevault.store.matching.TEXT_LIMIT_S", 0.1)
        with open_store(settings.database_url) as store:
            write_results(store, [result(request("evil"), "success", "a" * 60 + "!\n")])
        found = run("search", "^(a+)+$")
        assert (found.exit_code, "takes too long" in found.stderr) == (2, True)


class TestSearchOfOriginals:
    def test_where_a_leaked_secret_is_without_showing_it_again(self, run: Run, journal: Any) -> None:
        found = run("search", "--originals", typed=SECRET + "\n")
        assert found.stdout.splitlines()[-1] == "core-sw1:2:snmp-server community <secret hidden> RO"
        assert SECRET not in found.output
        (entry,) = journal()
        assert "originals of 3 revisions" in entry["MESSAGE"]
        assert SECRET not in str(entry)

    def test_other_secrets_of_the_line_stay_hidden_too(self, run: Run) -> None:
        assert "other-cAnAry" not in run("search", "--originals", "enable secret 0").output

    def test_a_secret_is_looked_for_as_it_is(self, run: Run) -> None:
        assert run("search", "--originals", typed="cAnAry.community\n").exit_code == 1

    def test_without_the_key_nothing_is_opened(self, run: Run, settings: Settings) -> None:
        settings.vault.private_key.unlink()
        assert run("search", "--originals", typed="x\n").exit_code == 78


@pytest.mark.parametrize("command", [("search", "."), ("export", "out"), ("diff", "--since", "1d")])
def test_a_mistyped_group_is_a_usage_error_with_the_nearest(run: Run, command: tuple[str, ...]) -> None:
    """Or a script would take it for a group in which nothing changed."""
    done = run(*command, "--group", "dnz")
    assert (done.exit_code, "did you mean 'dmz'?" in done.stderr) == (2, True)


def test_an_export_of_nothing_is_a_failure(run: Run, tmp_path: Path) -> None:
    done = run("export", str(tmp_path), "--at", "2020-01-01")
    assert (done.exit_code, "nothing to export" in done.stderr) == (1, True)


class TestExport:
    def test_one_file_per_device_by_group(self, run: Run, tmp_path: Path) -> None:
        done = run("export", str(tmp_path / "out"))
        files = {path.relative_to(tmp_path / "out"): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert sorted(map(str, files)) == ["default/core-sw1.cfg", "dmz/lb%2F1.cfg"]
        assert files[Path("default/core-sw1.cfg")].read_text() == SHOWN
        assert stat.S_IMODE(files[Path("default/core-sw1.cfg")].stat().st_mode) == 0o640
        assert "2 files of 2 devices in" in done.stdout
        assert "1 artifact is a file" in done.stderr

    def test_as_it_was_and_only_some(self, run: Run, tmp_path: Path) -> None:
        run("export", str(tmp_path), "core-sw1", "--at", at(0.5).isoformat())
        assert (tmp_path / "default/core-sw1.cfg").read_text() == "transport input telnet\nend\n"
        assert not (tmp_path / "dmz").exists()
        assert run("export", str(tmp_path), "core-sw7").exit_code == 2

    def test_two_devices_of_one_name_do_not_meet(self, run: Run, settings: Settings, tmp_path: Path) -> None:
        with open_store(settings.database_url) as store:
            again = request("core-sw1", device_id="another", minutes=5)
            write_results(store, [result(again, "success", "another\n")])
        files = json.loads(run("export", str(tmp_path), "--group", "default", "--json").stdout)
        assert len({one["file"] for one in files}) == len(files) == 2

    def test_a_file_there_is_replaced_and_a_link_is_not_followed(self, run: Run, tmp_path: Path) -> None:
        outside = tmp_path / "precious"
        outside.write_text("precious")
        out = tmp_path / "out"
        (out / "default").mkdir(parents=True)
        (out / "default" / "core-sw1.cfg").symlink_to(outside)
        run("export", str(out))
        assert outside.read_text() == "precious"
        assert (out / "default" / "core-sw1.cfg").read_text() == SHOWN

    def test_opened_they_are_what_the_device_sent_byte_for_byte(
        self, run: Run, tmp_path: Path, journal: Callable[[], list[dict[str, str]]]
    ) -> None:
        run("export", str(tmp_path / "out"), "--open")
        files = {path.name: path for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert sorted(files) == ["core-sw1.cfg", "lb%2F1+backup.ucs", "lb%2F1.cfg"]
        assert files["core-sw1.cfg"].read_bytes() == SENT
        assert files["lb%2F1+backup.ucs"].read_bytes() == IMAGE
        assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
        assert sorted(entry["DEVICE"] for entry in journal()) == ["core-sw1", "lb/1", "lb/1"]


class TestOpen:
    @pytest.fixture
    def sealed(self, run: Run, tmp_path: Path) -> Path:
        assert run("export", str(tmp_path / "out"), "--originals").exit_code == 0
        return tmp_path / "out" / "default" / "core-sw1.cfg.sealed"

    def test_it_needs_nothing_but_the_key(
        self, sealed: Path, tmp_path: Path, journal: Callable[[], list[dict[str, str]]]
    ) -> None:
        assert SECRET.encode() not in sealed.read_bytes()
        key = tmp_path / "elsewhere.key"
        (tmp_path / "vault.key").rename(key)
        (tmp_path / "devicevault.db").unlink()
        nowhere: dict[str, str | None] = {"DEVICEVAULT_CONFIG": "/no/such/config.toml"}
        found = CliRunner().invoke(main, ["open", "--key", str(key), str(sealed)], env=nowhere)
        assert found.stdout_bytes == SENT
        (entry,) = journal()
        assert entry["DEVICE"] == "core-sw1"
        assert entry["SYSLOG_IDENTIFIER"] == "devicevault-open"
        assert "running revision 2 of core-sw1" in entry["MESSAGE"]
        assert entry["OPENED_BY"]

    def test_show_tells_the_journal_too(self, run: Run, journal: Callable[[], list[dict[str, str]]]) -> None:
        assert run("show", "core-sw1", "--original").stdout_bytes == SENT
        assert [entry["MESSAGE"].split(" opens ")[1] for entry in journal()] == ["running revision 2 of core-sw1"]

    def test_where_no_journal_is_that_is_said(
        self, run: Run, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(JournaldTransport, "SOCKET_PATH", tmp_path / "no-journal")
        found = run("open", str(sealed))
        assert (found.exit_code, "recorded nowhere" in found.stderr) == (0, True)

    def test_into_a_file_for_oneself_alone(self, run: Run, sealed: Path, tmp_path: Path) -> None:
        run("open", str(sealed), "-o", str(tmp_path / "restored"))
        assert (tmp_path / "restored").read_bytes() == SENT
        assert stat.S_IMODE((tmp_path / "restored").stat().st_mode) == 0o600

    def test_a_further_recipient_opens_it_with_his_own_key(self, run: Run, settings: Settings, tmp_path: Path) -> None:
        public, _ = create_pair(tmp_path / "safe.key")
        add_recipient(settings.vault, public)
        original, key_id = Sealer.from_settings(settings).seal(SENT)
        with open_store(settings.database_url) as store:
            write_results(store, [result(request("new"), "success", artifact("x\n", original=original, key_id=key_id))])
        run("export", str(tmp_path), "new", "--originals")
        (tmp_path / "vault.key").unlink()
        file = str(tmp_path / "default" / "new.cfg.sealed")
        assert run("open", "--key", str(tmp_path / "safe.key"), file).stdout_bytes == SENT

    def test_whose_it_is_can_be_told_without_a_key(self, run: Run, sealed: Path) -> None:
        about = json.loads(run("open", "--info", str(sealed)).stdout)
        assert (about["device"], about["revision"], about["media_type"]) == ("core-sw1", 2, "text/plain")

    @pytest.mark.parametrize("content", [b"", b"hostname x\n", b"DeviceVault sealed original 1\n{}\nx"])
    def test_another_file_is_refused_in_words(self, run: Run, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x").write_bytes(content)
        found = run("open", str(tmp_path / "x"))
        assert (found.exit_code, "no sealed original" in found.stderr) == (2, True)
        assert run("open", str(tmp_path / "missing")).exit_code == 2
