"""The first tables.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "collection_runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("device_count", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_collection_runs"),
    )
    op.create_index("ix_collection_runs_requested_at", "collection_runs", ["requested_at"])
    op.create_table(
        "devices",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("first_seen_at", TIME, nullable=False),
        sa.Column("host_key", sa.Text(), nullable=False),
        sa.Column("host_key_seen_at", TIME, nullable=True),
        sa.Column("latest_result_id", NUMBER, nullable=True),
        sa.Column("last_success_id", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.UniqueConstraint("device_id", name="uq_devices_device_id"),
    )
    op.create_index("ix_devices_name", "devices", ["name"])
    op.create_index("ix_devices_group", "devices", ["group"])
    op.create_table(
        "device_backup_results",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("task_identifier", sa.Text(), nullable=False),
        sa.Column("device_pk", NUMBER, nullable=False),
        sa.Column("device_name", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("log", sa.JSON(), nullable=False),
        sa.Column("attempt", NUMBER, nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("repeats", NUMBER, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("recorded_at", TIME, nullable=True),
        sa.Column("collection_duration_ms", NUMBER, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("worker_version", sa.Text(), nullable=False),
        sa.Column("rules_digest", sa.Text(), nullable=False),
        sa.Column("host_key", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("completeness", sa.Text(), nullable=False),
        sa.Column("is_binary", sa.Boolean(), nullable=False),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.Column("artifacts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["collection_runs.run_id"], name="fk_device_backup_results_run_id"),
        sa.ForeignKeyConstraint(["device_pk"], ["devices.id"], name="fk_device_backup_results_device_pk"),
        sa.PrimaryKeyConstraint("id", name="pk_device_backup_results"),
        sa.UniqueConstraint("task_id", name="uq_device_backup_results_task_id"),
    )
    for columns in (["device_pk", "requested_at"], ["run_id", "status"], ["status", "requested_at"]):
        op.create_index(f"ix_device_backup_results_{'_'.join(columns)}", "device_backup_results", columns)
    op.create_table(
        "run_attachments",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("result_id", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["collection_runs.run_id"], name="fk_run_attachments_run_id"),
        sa.ForeignKeyConstraint(["result_id"], ["device_backup_results.id"], name="fk_run_attachments_result_id"),
        sa.PrimaryKeyConstraint("run_id", "result_id", name="pk_run_attachments"),
    )
    op.create_index("ix_run_attachments_result_id", "run_attachments", ["result_id"])
    op.create_table(
        "device_configs",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("compressed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_device_configs"),
        sa.UniqueConstraint("digest", name="uq_device_configs_digest"),
    )
    op.create_table(
        "device_revisions",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("device_pk", NUMBER, nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("config_id", NUMBER, nullable=False),
        sa.Column("result_id", NUMBER, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("added", NUMBER, nullable=False),
        sa.Column("removed", NUMBER, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("collected_at", TIME, nullable=False),
        sa.Column("confirmed_at", TIME, nullable=False),
        sa.Column("original_digest", sa.Text(), nullable=False),
        sa.Column("rules_digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device_pk"], ["devices.id"], name="fk_device_revisions_device_pk"),
        sa.ForeignKeyConstraint(["config_id"], ["device_configs.id"], name="fk_device_revisions_config_id"),
        sa.ForeignKeyConstraint(["result_id"], ["device_backup_results.id"], name="fk_device_revisions_result_id"),
        sa.PrimaryKeyConstraint("id", name="pk_device_revisions"),
        sa.UniqueConstraint("device_pk", "artifact", "number", name="uq_device_revisions_device_pk_artifact_number"),
    )
    op.create_index("ix_device_revisions_config_id", "device_revisions", ["config_id"])
    op.create_index("ix_device_revisions_result_id", "device_revisions", ["result_id"])
    op.create_table(
        "sealed_originals",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("revision_id", NUMBER, nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("original_digest", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("collected_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["revision_id"], ["device_revisions.id"], name="fk_sealed_originals_revision_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sealed_originals"),
        sa.UniqueConstraint("revision_id", name="uq_sealed_originals_revision_id"),
    )
    op.create_table(
        "held_artifacts",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("device_pk", NUMBER, nullable=False),
        sa.Column("result_id", NUMBER, nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("config_id", NUMBER, nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("original_digest", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("collected_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["device_pk"], ["devices.id"], name="fk_held_artifacts_device_pk"),
        sa.ForeignKeyConstraint(["result_id"], ["device_backup_results.id"], name="fk_held_artifacts_result_id"),
        sa.ForeignKeyConstraint(["config_id"], ["device_configs.id"], name="fk_held_artifacts_config_id"),
        sa.PrimaryKeyConstraint("id", name="pk_held_artifacts"),
        sa.UniqueConstraint("result_id", "artifact", name="uq_held_artifacts_result_id_artifact"),
    )
    op.create_index("ix_held_artifacts_device_pk", "held_artifacts", ["device_pk"])
    op.create_index("ix_held_artifacts_config_id", "held_artifacts", ["config_id"])
