"""How busy each host and step was, by hours and days, for the timeline; learned from the journal."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "activity",
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("done", BIG, nullable=False),
        sa.Column("failed", BIG, nullable=False),
        sa.Column("other", BIG, nullable=False),
        sa.Column("busy_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("kind", "level", "subject", "at_us", name=op.f("activity_pkey")),
        **TABLE,
    )
    op.create_table(
        "activity_head",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("activity_head_pkey")),
        **TABLE,
    )
