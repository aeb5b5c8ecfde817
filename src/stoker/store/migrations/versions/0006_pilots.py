"""Batch systems, and the pilots that were submitted to them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mariadb")
NAME = sa.String(length=200)
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "batch",
        sa.Column("name", NAME, nullable=False),
        sa.Column("settings", LONG, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("set_by", BYTES, nullable=False),
        sa.Column("is_removed", sa.Boolean(), nullable=False),
        sa.Column("held_by", NAME, nullable=True),
        sa.Column("reason", LONG, nullable=True),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("not_before_us", BIG, nullable=True),
        sa.Column("ceiling", sa.Integer(), nullable=True),
        sa.Column("ceiling_us", BIG, nullable=True),
        sa.Column("pace", sa.Integer(), nullable=False),
        sa.Column("paced_us", BIG, nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("surplus_us", BIG, nullable=True),
        sa.Column("asked_us", BIG, nullable=True),
        sa.Column("answered_us", BIG, nullable=True),
        sa.Column("trouble", LONG, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("batch_pkey")),
        **TABLE,
    )
    _pilots()
    op.create_table(
        "pilot_worker",
        sa.Column("worker_id", sa.Integer(), nullable=False),
        sa.Column("pilot_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["worker.id"], name=op.f("pilot_worker_worker_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["pilot_id"], ["pilot.id"], name=op.f("pilot_worker_pilot_id_fkey")
        ),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pilot_worker_pkey")),
        **TABLE,
    )
    op.create_index(op.f("pilot_worker_pilot_id"), "pilot_worker", ["pilot_id"], if_not_exists=True)


def _pilots() -> None:
    op.create_table(
        "pilot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=20), nullable=False),
        sa.Column("batch", NAME, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("job", NAME, nullable=True),
        sa.Column("batch_id", NAME, nullable=True),
        sa.Column("is_trial", sa.Boolean(), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("memory_bytes", BIG, nullable=True),
        sa.Column("time_s", sa.Integer(), nullable=False),
        sa.Column("idle_s", sa.Integer(), nullable=False),
        sa.Column("tags", LONG, nullable=True),
        sa.Column("intended_us", BIG, nullable=False),
        sa.Column("submitted_us", BIG, nullable=True),
        sa.Column("started_us", BIG, nullable=True),
        sa.Column("ends_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("stopped_us", BIG, nullable=True),
        sa.Column("seen_us", BIG, nullable=True),
        sa.Column("missed_us", BIG, nullable=True),
        sa.Column("stuck_us", BIG, nullable=True),
        sa.Column("cancel_us", BIG, nullable=True),
        sa.Column("host", NAME, nullable=True),
        sa.Column("said", LONG, nullable=True),
        sa.Column("refusal", LONG, nullable=True),
        sa.Column("is_limit", sa.Boolean(), nullable=False),
        sa.Column("reason", LONG, nullable=True),
        sa.Column("done", BIG, nullable=False),
        sa.Column("found", LONG, nullable=True),
        sa.Column("log", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pilot_pkey")),
        sa.UniqueConstraint("uid", name=op.f("pilot_uid_key")),
        **TABLE,
    )
    op.create_index("pilot_batch_state", "pilot", ["batch", "state", "id"], if_not_exists=True)
