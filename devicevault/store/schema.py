"""The schema's version: read, checked, brought up to date with Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, inspect, select

from devicevault.errors import ConfigurationError, Fault

MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: Any number no other program takes: who upgrades holds this advisory lock of PostgreSQL's.
UPGRADE_LOCK: Final = 0x64657669


def newest() -> str:
    """The version this release works with."""
    head = ScriptDirectory.from_config(_alembic()).get_current_head()
    if head is None:
        raise RuntimeError(f"no migrations in {MIGRATIONS}")
    return head


def current(engine: Engine) -> str:
    """The version the database has, or an empty string when it holds no table of ours."""
    with engine.execution_options(devicevault_reading=True).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def check(engine: Engine) -> None:
    """See that the database has exactly this release's schema.

    Raises :class:`~devicevault.errors.ConfigurationError` saying which way they differ.
    """
    found = current(engine)
    wanted = newest()
    if found == wanted:
        return
    if not found:
        raise ConfigurationError(Fault("database", "has no tables yet", "run: devicevault db upgrade"))
    if is_known(found):
        raise ConfigurationError(
            Fault("database", f"schema {found} is older than this release's {wanted}", "run: devicevault db upgrade")
        )
    raise ConfigurationError(
        Fault(
            "database",
            f"schema {found} is of a newer release; this one knows up to {wanted}",
            "upgrade DeviceVault on this host",
        )
    )


def is_known(version: str) -> bool:
    """Whether this release knows a schema: its own, or an older one."""
    return version in {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}


def upgrade(engine: Engine) -> None:
    """Bring the database to this release's schema, in one transaction; whoever comes second finds it done."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        upgrade_to(connection, "head")


def upgrade_to(connection: Connection, version: str) -> None:
    """Bring a database from whatever version it is at to a later one."""
    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def create_if_empty(engine: Engine) -> None:
    """Make the tables where the database holds none at all."""
    with engine.execution_options(devicevault_reading=True).connect() as connection:
        is_empty = not inspect(connection).get_table_names()
    if is_empty:
        upgrade(engine)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
