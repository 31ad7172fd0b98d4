"""Devices out of databases: PostgreSQL and SQLite as they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from devicevault.inventory import Inventory, load_inventory
from devicevault.settings import Settings
from tests.servers import PostgreSQLServer, free_port

QUERY = "SELECT host AS name, ip AS address, os AS platform, up AS enabled, labels AS tags FROM hosts ORDER BY host"

Load = Callable[[str], Inventory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    path = tmp_path / "devices.toml"

    def load(text: str) -> Inventory:
        path.write_text(f'[sources.db]\nkind = "sql"\ncache_s = 0\nmax_shrink = 1\n{text}')
        layout = {"path": path, "kept_dir": tmp_path / "kept"}
        return load_inventory(Settings.model_validate({"inventory": layout}), ("cisco_ios", "juniper_junos"))

    return load


def execute(url: str, *statements: str) -> None:
    from psycopg import connect

    with connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.services
def test_postgresql_with_a_password_by_reference(
    load: Load, postgresql: PostgreSQLServer, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    execute(
        postgresql_url,
        "CREATE TABLE hosts (host text, ip inet, os text, up boolean, labels text[])",
        "INSERT INTO hosts VALUES ('a', '192.0.2.1/24', 'ios', true, '{core,x}')",
        "INSERT INTO hosts VALUES ('b', '2001:db8::1', 'junos', false, null)",
    )
    text = f'url = "{postgresql_url}"\npassword = {{ env = "DB_PASSWORD" }}\nquery = """{QUERY}"""\n'
    a, b = load(text)
    assert (a.name, a.address, a.platform, a.enabled, a.tags) == ("a", "192.0.2.1", "cisco_ios", True, ("core", "x"))
    assert (b.name, b.address, b.platform, b.enabled, b.tags) == ("b", "2001:db8::1", "juniper_junos", False, ())


@pytest.mark.services
def test_the_query_may_only_read_and_not_run_for_ever(load: Load, postgresql_url: str) -> None:
    execute(postgresql_url, "CREATE TABLE hosts (host text, ip inet, os text, up boolean, labels text[])")
    execute(postgresql_url, "INSERT INTO hosts VALUES ('a', '192.0.2.1', 'ios', true, null)")
    good = f'url = "{postgresql_url}"\nquery = """{QUERY}"""\n'
    assert len(load(good)) == 1
    deleting = load(good.replace(QUERY, "DELETE FROM hosts RETURNING host AS name"))
    assert "cannot execute DELETE in a read-only transaction" in deleting.sources[0].trouble
    assert len(load(good)) == 1
    sleeping = load("timeout_s = 1\n" + good.replace(QUERY, "SELECT pg_sleep(600)"))
    trouble = sleeping.sources[0].trouble
    assert "statement timeout" in trouble or "no answer within 1 s" in trouble
    assert [device.name for device in sleeping] == ["a"]


@pytest.mark.services
def test_a_database_that_refuses_or_is_away_is_told_without_its_password(
    load: Load, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    execute(postgresql_url, "CREATE TABLE hosts (host text, ip inet, os text, up boolean, labels text[])")
    good = f'url = "{postgresql_url}"\npassword = {{ env = "DB_PASSWORD" }}\nquery = "{QUERY}"\n'
    assert len(load(good)) == 0
    for bad, problem in (
        (good.replace("postgres@", "nobody@"), 'role "nobody" does not exist'),
        (good.replace(QUERY, "SELECT * FROM wrong"), 'relation "wrong" does not exist'),
        (good.replace(postgresql_url, f"postgresql://postgres@127.0.0.1:{free_port()}/x"), "connection"),
    ):
        trouble = load(bad).sources[0].trouble
        assert problem in trouble
        assert "s3cret" not in trouble


def test_sqlite_is_opened_for_reading_alone(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "hosts.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE hosts (host, ip, os, up, labels)")
        database.execute(
            "INSERT INTO hosts VALUES ('a', '192.0.2.1', 'cisco-ios', 1, 'core, x'), ('b', null, 'junos', 0, '')"
        )
    text = f'url = "sqlite:///{path}"\nquery = "{QUERY}"\n'
    a, b = load(text)
    assert (a.name, a.address, a.platform, a.enabled, a.tags) == ("a", "192.0.2.1", "cisco_ios", True, ("core", "x"))
    assert (b.address, b.enabled) == ("b", False)
    assert (
        "readonly database" in load(text.replace(QUERY, "DELETE FROM hosts RETURNING host AS name")).sources[0].trouble
    )
    assert "unable to open" in load(text.replace("hosts.db", "none.db")).sources[0].trouble
    assert not (tmp_path / "none.db").exists()
    assert "there is no driver" in load(text.replace("sqlite://", "dbase://")).sources[0].trouble
