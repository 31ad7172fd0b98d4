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
@click.option("--no-copy", is_flag=True, help="Without a copy first: you have a backup.")
@pass_settings
def upgrade(settings: Settings, no_copy: bool) -> None:
    """Bring the database to this release's schema; make it where there is none.

    It is copied first: a SQLite database beside it, a PostgreSQL one into a SQLite file in /var/lib/devicevault.
    """
    from devicevault.store.upgrade import upgrade_store

    done = upgrade_store(settings.database_url, with_copy=not no_copy)
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
