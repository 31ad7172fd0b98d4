"""Who changed a device, and when, as the device tells it.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("device_backup_results", "device_revisions"):
        for column in ("author", "authored_at"):
            op.add_column(table, sa.Column(column, sa.Text(), nullable=False, server_default=""))
