"""``devicevault db``: look after the database."""

from __future__ import annotations

import click

from devicevault.cli import pass_settings
from devicevault.cli.console import console
from devicevault.settings import Settings


@click.group()
def db() -> None:
    """Check and upgrade the database."""


@db.command(short_help="Bring the schema to this release.")
@pass_settings
def upgrade(settings: Settings) -> None:
    """Bring the database to this release's schema; make it where there is none.

    A SQLite database is copied beside it first.
    """
    from devicevault.store.upgrade import upgrade_store

    done = upgrade_store(settings.database_url)
    if done.copy is not None:
        console().print(f"the database as it was is kept in {done.copy}", soft_wrap=True)
    before = f", it was at {done.before or 'none'}" if done.before != done.after else ""
    console().print(f"the database is at schema {done.after}{before}")


@db.command(short_help="See that it answers and fits this release.")
@pass_settings
def check(settings: Settings) -> None:
    """See that the database answers and that its schema is this release's."""
    from devicevault.store import open_store, schema

    with open_store(settings.database_url) as store:
        store.ping()
        console().print(f"{store.place}: answers, schema {schema.current(store.engine)}")
