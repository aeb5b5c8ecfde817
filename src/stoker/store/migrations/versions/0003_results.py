"""Error folders of items, and tables of values: which there are, and what is to be done for them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mariadb")
ID16 = sa.LargeBinary(length=16).with_variant(mysql.BINARY(16), "mariadb")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the tables and their indexes."""
    op.create_table(
        "error_folder",
        sa.Column("attempt", ID16, nullable=False),
        sa.Column("task_id", BIG, nullable=False),
        sa.Column("item_id", BIG, nullable=False),
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("path", BYTES, nullable=True),
        sa.Column("digest", ID16, nullable=True),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("made_us", BIG, nullable=True),
        sa.Column("not_before_us", BIG, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("attempt", name=op.f("error_folder_pkey")),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("error_folder_pipeline_id_fkey")
        ),
        **TABLE,
    )
    for column in ("item_id", "pipeline_id", "digest"):
        op.create_index(
            op.f(f"error_folder_{column}"),
            "error_folder",
            [column],
            unique=False,
            if_not_exists=True,
        )
    op.create_table(
        "value_table",
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("path", BYTES, nullable=False),
        sa.Column("spec", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", BIG, nullable=True),
        sa.Column("checksum", sa.String(length=80), nullable=True),
        sa.Column("was_checksum", sa.String(length=80), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("written_us", BIG, nullable=True),
        sa.Column("trouble", LONG, nullable=True),
        sa.PrimaryKeyConstraint("pipeline_id", "name", name=op.f("value_table_pkey")),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("value_table_pipeline_id_fkey")
        ),
        **TABLE,
    )
