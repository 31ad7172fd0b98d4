"""A database of every earlier schema, with data in it, is brought to the newest one: SQLite and PostgreSQL.

The data is that of the release which had the schema, as it wrote it: rows of all its tables.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Boolean, DateTime, Engine, Integer, LargeBinary, MetaData, Table, Text, insert, select

from devicevault.errors import ConfigurationError
from devicevault.messages import digest_of
from devicevault.store import open_store, reader, schema, write_results
from devicevault.store.engine import connect
from devicevault.store.upgrade import upgrade_store
from tests.results import request, result

pytestmark = pytest.mark.services

MOMENT = datetime(2026, 5, 4, 6, 0, 1, 234567, tzinfo=UTC)
CONFIG = "hostname core-sw1\nend\n"
#: What a row says where any value would do.
ROWS: dict[str, dict[str, Any]] = {
    "collection_runs": {"run_id": "run-1", "kind": "manual"},
    "devices": {"device_id": "core-sw1", "name": "core-sw1", "latest_result_id": 1, "last_success_id": 1},
    "device_backup_results": {
        "task_id": "task-1",
        "run_id": "run-1",
        "device_pk": 1,
        "device_name": "core-sw1",
        "status": "success",
        "artifacts": [{"name": "running", "revision": 1, "digest": digest_of(CONFIG.encode())}],
        "log": [{"time": "2026-05-04T06:00:00Z", "severity": "info", "message": "Zürich \u2603"}],
    },
    "run_attachments": {"run_id": "run-1", "result_id": 1},
    "device_configs": {"digest": digest_of(CONFIG.encode()), "size": len(CONFIG)},
    "device_revisions": {"device_pk": 1, "artifact": "running", "number": 1, "config_id": 1, "result_id": 1},
    "sealed_originals": {"revision_id": 1, "key_id": "plain"},
    "held_artifacts": {"device_pk": 1, "result_id": 1, "artifact": "running", "config_id": 1, "key_id": "plain"},
}


def versions() -> list[str]:
    scripts = ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()
    return [script.revision for script in scripts][::-1]


def value_of(table: Table, column: Any, moment: datetime) -> Any:
    if column.name in ROWS.get(table.name, {}):
        return ROWS[table.name][column.name]
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, DateTime):
        return moment
    if isinstance(column.type, LargeBinary):
        return zlib.compress(CONFIG.encode())
    if isinstance(column.type, JSON):
        return [{"a": "b"}]
    if isinstance(column.type, Integer):
        return 1
    assert isinstance(column.type, Text)
    return "x"


def fill(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """One row in every table there is; what was written."""
    metadata = MetaData()
    written: dict[str, list[dict[str, Any]]] = {}
    moment = MOMENT if engine.dialect.name == "postgresql" else MOMENT.replace(tzinfo=None)
    with engine.begin() as connection:
        metadata.reflect(connection)
        for table in metadata.sorted_tables:
            if table.name == "alembic_version":
                continue
            given = [column for column in table.columns if column.name != "id"]  # numbered by the database
            row = {column.name: value_of(table, column, moment) for column in given}
            connection.execute(insert(table), [row])
            written[table.name] = [row]
    return written


def content(engine: Engine, columns: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """What these tables hold in these columns."""
    metadata = MetaData()
    with engine.connect() as connection:
        metadata.reflect(connection)
        return {
            name: [
                dict(row)
                for row in connection.execute(
                    select(*(metadata.tables[name].c[column] for column in rows[0]))
                ).mappings()
            ]
            for name, rows in columns.items()
        }


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.mark.parametrize("version", versions()[:-1])
def test_a_database_of_an_earlier_release_is_upgraded_with_its_data(
    database_url: str, version: str, tmp_path: Path
) -> None:
    engine = connect(database_url, create=True)
    with engine.begin() as connection:
        schema.upgrade_to(connection, version)
    before = fill(engine)
    engine.dispose()

    done = upgrade_store(database_url)

    assert (done.before, done.after) == (version, schema.newest())
    engine = connect(database_url)
    assert content(engine, before) == before, "every value is what it was"
    engine.dispose()
    with open_store(database_url) as store:
        with store.reading() as session:
            device = reader.find_device(session, "core-sw1")
            assert reader.revision(session, device, artifact="running").text == CONFIG
            assert reader.device_results(session, device, limit=1)[0].requested_at == MOMENT
        later = result(request("core-sw1", minutes=9), "success", CONFIG + "new\n", rules_digest="x")
        report = write_results(store, [later])
        assert [(change.number, change.reason) for change in report.changes] == [(2, "changed")]
    assert done.copy is not None
    assert done.copy.parent == tmp_path
    with closing(sqlite3.connect(done.copy)) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == (version,)
        for name, rows in before.items():
            assert copy.execute(f"SELECT count(*) FROM {name}").fetchone() == (len(rows),)  # noqa: S608


def test_a_postgresql_database_is_not_upgraded_without_a_copy_unless_told(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "missing"))
    engine = connect(postgresql_url)
    with engine.begin() as connection:
        schema.upgrade_to(connection, "0001")
    with pytest.raises(ConfigurationError, match="--no-copy"):
        upgrade_store(postgresql_url)
    assert schema.current(engine) == "0001"
    assert upgrade_store(postgresql_url, with_copy=False).copy is None
    assert schema.current(engine) == schema.newest()
    engine.dispose()
