"""An older database is copied aside, then upgraded, before the consumer reads its first result."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from devicevault.errors import ConfigurationError, ServiceUnavailable
from devicevault.store import open_run, open_store, schema
from devicevault.store.upgrade import upgrade_store

NEXT = """
from alembic import op
import sqlalchemy as sa

revision = "9999"
down_revision = {before!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("contact", sa.Text(), server_default=""))
    {then}


def downgrade() -> None:
    raise NotImplementedError
"""


@pytest.fixture
def older(sqlite_url: str) -> str:
    """A database of this release, with a row in it."""
    with open_store(sqlite_url, migrate=True) as store, store.session() as session:
        open_run(session, asked_by="pat")
    return sqlite_url


@pytest.fixture
def newer_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The release after this one: it has one migration more."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = schema.newest()
    migration = folder / "versions" / "9999_next.py"
    migration.write_text(NEXT.format(before=before, then="pass"))
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    return migration


def runs_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM collection_runs").fetchone()[0])


def copies(url: str) -> list[Path]:
    path = Path(url.removeprefix("sqlite:///"))
    return sorted(path.parent.glob(f"{path.name}.*-*"))


def test_an_older_database_is_copied_and_upgraded(older: str, newer_release: Path) -> None:
    before = Path(older.removeprefix("sqlite:///")).stat().st_mode
    done = upgrade_store(older)
    assert done.after == "9999"
    (copy,) = copies(older)
    assert done.copy == copy
    assert runs_in(copy) == 1
    assert stat.S_IMODE(copy.stat().st_mode) == stat.S_IMODE(before)
    with closing(sqlite3.connect(copy)) as connection:
        assert "contact" not in {row[1] for row in connection.execute("PRAGMA table_info(devices)")}
    with open_store(older):
        pass
    assert upgrade_store(older).copy is None, "what is up to date is not copied again"


def test_a_migration_that_fails_leaves_the_database_as_it_was(older: str, newer_release: Path) -> None:
    before = newer_release.read_text()
    newer_release.write_text(before.replace("    pass", '    op.execute("SELECT no_such_function()")'))
    with pytest.raises(ServiceUnavailable, match="no_such_function"):
        upgrade_store(older)
    newer_release.write_text(before)
    assert upgrade_store(older).after == "9999"
    assert len(copies(older)) >= 1


def test_a_new_database_is_made_without_a_copy(sqlite_url: str) -> None:
    assert upgrade_store(sqlite_url).before == ""
    assert copies(sqlite_url) == []


def test_a_database_of_a_newer_release_is_not_touched(older: str) -> None:
    path = Path(older.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="newer release"):
        upgrade_store(older)
    assert copies(older) == []
