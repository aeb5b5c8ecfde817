"""Messages: how far the journal has been read for them, and what is to be sent to whom."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "notifier",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("held_until_us", BIG, nullable=False),
        sa.Column("troubles", LONG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("notifier_pkey")),
        **TABLE,
    )
    op.create_table(
        "message",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("recipient", sa.String(length=200), nullable=False),
        sa.Column("pending", LONG, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("sent_us", BIG, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("not_before_us", BIG, nullable=False),
        sa.Column("trouble", LONG, nullable=True),
        sa.PrimaryKeyConstraint("name", "recipient", name=op.f("message_pkey")),
        **TABLE,
    )
