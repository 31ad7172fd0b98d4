"""The schema's version: read, checked, brought up to date with Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, func, inspect, select, text

from devicevault.errors import ConfigurationError, Fault

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: Alembic's own.
VERSION_TABLE: Final = "alembic_version"
#: Any number no other program takes: who upgrades holds this advisory lock of PostgreSQL's.
UPGRADE_LOCK: Final = 0x64657669


def versions() -> tuple[str, ...]:
    """Every version this release knows, oldest first: each migration's file begins with its own.

    Alembic, which knows as well, takes a quarter of a second to import: too long for a command that only reads.
    """
    return tuple(sorted(path.name.partition("_")[0] for path in MIGRATIONS.glob("versions/[0-9]*_*.py")))


def newest() -> str:
    """The version this release works with."""
    return versions()[-1]


def current(engine: Engine) -> str:
    """The version the database has, or an empty string when it holds no table of ours."""
    with engine.execution_options(devicevault_reading=True).connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return ""
        return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) or ""  # noqa: S608 (a constant)


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
    return version in versions()


def upgrade(engine: Engine) -> None:
    """Bring the database to this release's schema, in one transaction; whoever comes second finds it done."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        upgrade_to(connection, "head")


def upgrade_to(connection: Connection, version: str) -> None:
    """Bring a database from whatever version it is at to a later one."""
    from alembic import command

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
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
