"""Alembic's scripts: the database's shape, one step a release that changes it."""
