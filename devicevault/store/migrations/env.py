"""Alembic runs this module for each command; the connection comes from :mod:`devicevault.store.schema`."""

from __future__ import annotations

from alembic import context

from devicevault.store import output_models as output_models  # its tables belong to the schema too
from devicevault.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
with context.begin_transaction():
    context.run_migrations()
