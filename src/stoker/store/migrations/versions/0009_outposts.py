"""Outposts: places without a store, where attempts run, and when each was last heard of."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mariadb")
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outpost",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("settings", LONG, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("set_by", BYTES, nullable=False),
        sa.Column("is_removed", sa.Boolean(), nullable=False),
        sa.Column("held_by", sa.String(length=200), nullable=True),
        sa.Column("reason", LONG, nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Integer(), nullable=True),
        sa.Column("tried_us", BIG, nullable=True),
        sa.Column("answered_us", BIG, nullable=True),
        sa.Column("trouble", LONG, nullable=True),
        sa.Column("told", LONG, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("outpost_pkey")),
        **TABLE,
    )
