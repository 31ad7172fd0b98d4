"""The drill: lose the machine, build another one, and open an original there; on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select

from devicevault.cli import main
from devicevault.collector.seal import Sealer
from devicevault.settings import load_settings
from devicevault.store import Store, open_store, reader, schema, write_results
from devicevault.store.engine import connect
from devicevault.store.models import DeviceRevision
from devicevault.vault_keys import create_keys
from tests.results import artifact, at, request, result

pytestmark = pytest.mark.services

SENT = b"hostname core-sw1\r\nenable secret cAnAry\r\n"
SHOWN = "hostname core-sw1\nenable secret <secret hidden>\n"
PASSPHRASE = "five words are long enough"


class Host:
    """A machine with an /etc/devicevault of its own."""

    def __init__(self, folder: Path, database_url: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.config = folder / "config.toml"
        self.database_url = database_url
        (folder / "passphrase").write_text(PASSPHRASE + "\n")

    def configure(self) -> None:
        self.config.write_text(
            f'database_url = "{self.database_url}"\ncredentials_file = "{self.folder}/credentials.toml"\n'
            f'platforms_dir = "{self.folder}/platforms"\n[inventory]\npath = "{self.folder}/devices.toml"\n[vault]\n'
            f'public_key = "{self.folder}/vault.pub"\nprivate_key = "{self.folder}/vault.key"\n'
            f'digest_key = "{self.folder}/vault.digest"\n'
        )

    def run(self, *words: str, typed: str = "", environ: dict[str, str] | None = None) -> Result:
        command = ["--config", str(self.config), *words]
        return CliRunner().invoke(main, command, input=typed, env=environ, catch_exceptions=False)

    def store(self) -> Store:
        return open_store(self.database_url)


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    def made(kind: str) -> str:
        if kind == "postgresql":
            return str(request.getfixturevalue("postgresql_url"))
        return f"sqlite:///{tmp_path}/{len(list(tmp_path.iterdir()))}.db"

    return made


def vault(folder: Path, database_url: str) -> Host:
    """A vault with one device in two revisions, all its files, and a page of its own."""
    host = Host(folder, database_url)
    host.configure()
    settings = load_settings(host.config)
    create_keys(settings.vault)
    (folder / "devices.toml").write_text('[devices.core-sw1]\nplatform = "cisco_ios"\naddress = "192.0.2.1"\n')
    (folder / "credentials.toml").write_text('[credentials.x]\nusername = "u"\npassword = "deviceCanary"\n')
    (folder / "credentials.toml").chmod(0o600)
    (folder / "config.d").mkdir()
    (folder / "config.d" / "10-log.toml").write_text('[log]\nlevel = "debug"\n')
    sealed, key_id = Sealer.from_settings(settings).seal(SENT)
    with open_store(database_url, migrate=True) as store:
        sent = artifact(SHOWN, original=sealed, key_id=key_id)
        write_results(store, [result(request(), "success", "old\n"), result(request(minutes=1), "success", sent)])
    return host


@pytest.mark.parametrize(
    ("kind", "other_kind"),
    [("sqlite", "sqlite"), ("postgresql", "sqlite"), ("sqlite", "postgresql")],
)
def test_lose_the_machine_and_open_an_original_on_another(
    tmp_path: Path, new_url: Callable[[str], str], kind: str, other_kind: str
) -> None:
    lost = vault(tmp_path / "lost", new_url(kind))
    file = tmp_path / "vault.backup"
    done = lost.run("backup", "--with-keys", "--passphrase-file", str(lost.folder / "passphrase"), str(file))
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"deviceCanary" not in file.read_bytes()
    names = {path.name for path in lost.folder.iterdir()}
    lost.folder.rename(tmp_path / "gone")

    built = Host(tmp_path / "lost", new_url(other_kind))  # the settings name the same paths
    environ = {"DEVICEVAULT_DATABASE_URL": built.database_url}  # whatever the restored settings say
    restored = built.run("restore", str(file), typed=PASSPHRASE + "\n", environ=environ)
    assert restored.exit_code == 0, restored.output
    found = built.run("show", "core-sw1", "--original", environ=environ)
    assert found.stdout_bytes == SENT
    assert {path.name for path in built.folder.iterdir()} == names
    assert (built.folder / "credentials.toml").read_text() == (tmp_path / "gone/credentials.toml").read_text()
    assert stat.S_IMODE((built.folder / "vault.key").stat().st_mode) == 0o600
    assert load_settings(built.config).log.level == "debug"
    with built.store() as store:
        with store.reading() as session:
            revisions = reader.device_revisions(session, reader.find_device(session, "core-sw1"), limit=9)
            assert [(one.number, one.collected_at) for one in revisions] == [(2, at(1)), (1, at(0))]
        report = write_results(store, [result(request(minutes=5), "success", SHOWN + "new\n")])
        assert [change.number for change in report.changes] == [3], "the database works on"


def test_a_backup_taken_while_results_come_is_one_moment(tmp_path: Path, postgresql_url: str) -> None:
    """Each round writes the same text for two devices in one transaction: a copy has both or neither."""
    host = vault(tmp_path / "host", postgresql_url)
    stop = threading.Event()

    def write() -> None:
        with host.store() as store:
            number = 0
            while not stop.is_set():
                number += 1
                pair = [result(request(name, minutes=number), "success", f"{number}\n") for name in ("a", "b")]
                write_results(store, pair)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for index in range(3):
            assert host.run("backup", str(tmp_path / f"{index}.backup")).exit_code == 0
    finally:
        stop.set()
        writer.join()
    for index in range(3):
        other = Host(tmp_path / f"other{index}", f"sqlite:///{tmp_path}/other{index}.db")
        other.configure()
        assert other.run("restore", "--without-settings", str(tmp_path / f"{index}.backup")).exit_code == 0
        with other.store() as store, store.reading() as session:
            newest = [
                session.scalar(select(func.max(DeviceRevision.number)).where(DeviceRevision.device_pk == device.id))
                for device in (reader.find_device(session, name) for name in ("a", "b"))
            ]
            assert newest[0] == newest[1]
            assert newest[0]


class TestCarefulness:
    @pytest.fixture
    def host(self, tmp_path: Path) -> Host:
        return vault(tmp_path / "host", f"sqlite:///{tmp_path}/devicevault.db")

    @pytest.fixture
    def file(self, host: Host, tmp_path: Path) -> Path:
        path = tmp_path / "vault.backup"
        assert host.run("backup", "--with-keys", str(path), typed=PASSPHRASE + "\n").exit_code == 0
        return path

    def test_a_database_with_devices_is_refused_before_anything_is_written(self, host: Host, file: Path) -> None:
        (host.folder / "vault.pub").write_text("other")
        refused = host.run("restore", str(file), typed=PASSPHRASE + "\n")
        assert (refused.exit_code, "holds 1 devices already" in refused.stderr) == (2, True)
        assert (host.folder / "vault.pub").read_text() == "other"

    def test_another_passphrase_opens_nothing(self, host: Host, file: Path, tmp_path: Path) -> None:
        (tmp_path / "devicevault.db").unlink()
        refused = host.run("restore", str(file), typed="another passphrase altogether\n")
        assert (refused.exit_code, "not the passphrase" in refused.stderr) == (2, True)

    def test_what_is_there_is_kept_under_another_name(self, host: Host, file: Path, tmp_path: Path) -> None:
        (tmp_path / "devicevault.db").unlink()
        (host.folder / "vault.key").write_text("precious")
        (host.folder / "vault.key").chmod(0o640)
        done = host.run("restore", str(file), typed=PASSPHRASE + "\n")
        assert done.exit_code == 0, done.output
        (kept,) = host.folder.glob("vault.key.before-restore-*")
        assert kept.read_text() == "precious"
        assert str(kept) in done.stdout.replace("\n", "")
        assert stat.S_IMODE((host.folder / "vault.key").stat().st_mode) == 0o640, "as the file it replaces"

    def test_a_backup_without_keys_says_so(self, host: Host, tmp_path: Path) -> None:
        path = tmp_path / "keyless.backup"
        assert "It has no keys" in host.run("backup", str(path)).stderr
        about = json.loads(host.run("restore", "--info", str(path)).stdout)
        assert sorted(about["parts"]) == ["database.sqlite", "settings.json"]
        assert (about["devices"], about["revisions"], about["schema_version"]) == (1, 2, schema.newest())

    def test_another_file_is_never_overwritten_but_an_older_backup_is(
        self, host: Host, file: Path, tmp_path: Path
    ) -> None:
        precious = tmp_path / "precious"
        precious.write_text("precious")
        refused = host.run("backup", str(precious))
        assert (refused.exit_code, precious.read_text()) == (2, "precious")
        assert host.run("backup", str(file)).exit_code == 0
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == [], "no drafts are left"

    def test_a_short_passphrase_is_refused(self, host: Host, tmp_path: Path) -> None:
        refused = host.run("backup", "--with-keys", str(tmp_path / "x"), typed="short\n")
        assert (refused.exit_code, "12 characters" in refused.stderr) == (2, True)
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
    def test_a_damaged_backup_is_told_and_changes_nothing(
        self, host: Host, file: Path, tmp_path: Path, share: float
    ) -> None:
        content = bytearray(file.read_bytes())
        content[int(len(content) * share)] ^= 0xFF
        file.write_bytes(content)
        database = tmp_path / "devicevault.db"
        database.unlink()
        done = host.run("restore", str(file), typed=PASSPHRASE + "\n")
        assert done.exit_code == 2, done.output
        assert not list(host.folder.glob("*.before-restore-*"))

    def test_one_of_an_older_release_is_brought_to_this_ones_schema(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/old.db"
        engine = connect(url, create=True)
        with engine.begin() as connection:
            schema.upgrade_to(connection, "0001")
        engine.dispose()
        host = Host(tmp_path / "old", url)
        host.configure()
        # Its own release would have written it; this one opens a database of its own schema only.
        command = (
            "import sys; from pathlib import Path; from devicevault.store import schema, engine; "
            "schema.newest = lambda: '0001'; from devicevault.cli import main; main(sys.argv[1:])"
        )
        words = ["--config", str(host.config), "backup", str(tmp_path / "old.backup")]
        subprocess.run([sys.executable, "-c", command, *words], check=True, timeout=60)
        other = Host(tmp_path / "new", f"sqlite:///{tmp_path}/new.db")
        other.configure()
        assert other.run("restore", "--without-settings", str(tmp_path / "old.backup")).exit_code == 0
        with other.store():
            pass
