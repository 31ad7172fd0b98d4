"""Devices that left the inventory, and which text of a device is shown when its first revisions are deleted.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("absent_since", "archived_at"):
        op.add_column("devices", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column("devices", sa.Column("main_artifact", sa.Text(), nullable=False, server_default=""))
    op.execute(
        "UPDATE devices SET main_artifact = coalesce((SELECT artifact FROM device_revisions"
        " WHERE device_pk = devices.id ORDER BY id LIMIT 1), '')"
    )
