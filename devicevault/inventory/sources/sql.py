"""A list of devices in a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import AfterValidator

from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.secret import Secret, read_secret
from devicevault.inventory.sources.table import FilledText, SourceTable
from devicevault.inventory.sources.text import Record
from devicevault.inventory.unfit import Unfit

_MAX_ROWS: Final = 1_000_000
_POSTGRESQL: Final = ("postgresql", "postgres")


def _checked_url(url: str) -> str:
    head, _, rest = url.partition("://")
    if not head or not rest:
        raise Unfit("is not a database URL", "write it like postgresql://USER@HOST/DATABASE or sqlite:////PATH")
    if "@" in rest and ":" in rest.rpartition("@")[0].partition("/")[0]:
        raise Unfit("has a password in it", 'write password = { file = "PATH" } beside it')
    return url


class SqlTable(SourceTable):
    """``kind = "sql"``: the rows of a query, which may only read. The columns are named as a device's keys."""

    kind: Literal["sql"]
    url: Annotated[str, AfterValidator(_checked_url)]
    password: Secret | None = None
    query: FilledText

    def ask(self, folder: Path) -> list[Record]:
        # Only here: whoever reads another inventory need not have SQLAlchemy loaded.
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
        from sqlalchemy.pool import NullPool

        password = read_secret(self.password, "password") if self.password is not None else None
        try:
            url, options = _connection(self.url, password, self.timeout_s)
            engine = create_engine(url, poolclass=NullPool, connect_args=options)
            with engine.connect() as connection:
                if engine.dialect.name == "postgresql":
                    connection = connection.execution_options(postgresql_readonly=True)
                rows = connection.exec_driver_sql(self.query)
                if not rows.returns_rows:
                    raise SourceFailed("the query gives no rows", "write a SELECT")
                return [dict(row) for row in rows.mappings().fetchmany(_MAX_ROWS)]
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
            raise SourceFailed(
                "there is no driver for this kind of database", "use postgresql://… or sqlite:////…, or a command"
            ) from None
        except DBAPIError as error:
            raise SourceFailed(f"the database says: {str(error.orig).strip().splitlines()[0][:300]}") from None
        except SQLAlchemyError as error:
            raise SourceFailed(f"the database can't be asked: {type(error).__name__}") from None


def _connection(text: str, password: str | None, timeout_s: float) -> tuple[Any, dict[str, Any]]:
    """The URL with its password, and what makes the driver read only and not wait without end."""
    from sqlalchemy import make_url

    url = make_url(text)
    if password is not None:
        url = url.set(password=password)
    if url.drivername in _POSTGRESQL:
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername == "postgresql+psycopg":
        limit_ms = max(1000, int(timeout_s * 1000))
        return url, {"connect_timeout": max(2, int(timeout_s)), "options": f"-c statement_timeout={limit_ms}"}
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith("file:"):
        url = url.set(database=f"file:{quote(url.database)}", query={"mode": "ro", "uri": "true"})
    return url, {}
