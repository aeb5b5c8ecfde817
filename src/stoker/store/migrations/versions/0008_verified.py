"""Outputs that `verify` found missing, for `status` and `rerun --missing`."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"

ID16 = sa.LargeBinary(length=16).with_variant(mysql.BINARY(16), "mariadb")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "missing_output",
        sa.Column("attempt", ID16, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("found_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("attempt", "name", "position", name=op.f("missing_output_pkey")),
        **TABLE,
    )
