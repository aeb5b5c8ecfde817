"""Groups: which items belong together, and when they were complete."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTEWISE = (
    sa.String(length=1000)
    .with_variant(sa.String(1000, collation="C"), "postgresql")
    .with_variant(mysql.VARBINARY(1000), "mariadb")
)
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the tables of groups and members."""
    op.create_table(
        "item_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("due_us", BIG, nullable=True),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("over_n", sa.Integer(), nullable=False),
        sa.Column("done_n", sa.Integer(), nullable=False),
        sa.Column("bad_n", sa.Integer(), nullable=False),
        sa.Column("changed_n", sa.Integer(), nullable=False),
        sa.Column("ignored_n", sa.Integer(), nullable=False),
        sa.Column("forgotten_n", sa.Integer(), nullable=False),
        sa.Column("least_expected", sa.Integer(), nullable=True),
        sa.Column("most_expected", sa.Integer(), nullable=True),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("added_us", BIG, nullable=False),
        sa.Column("waits_for", LONG, nullable=True),
        sa.Column("trouble", LONG, nullable=True),
        sa.Column("closed_by", sa.String(length=200), nullable=True),
        sa.Column("item_id", BIG, nullable=True),
        sa.Column("told_us", BIG, nullable=True),
        sa.Column("told_members", sa.Integer(), nullable=True),
        sa.Column("told_missing", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("item_group_source_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("item_group_pkey")),
        sa.UniqueConstraint("source_id", "key", name=op.f("item_group_source_id_key_key")),
        **TABLE,
    )
    op.create_index("item_group_due", "item_group", ["source_id", "due_us"], if_not_exists=True)
    op.create_index("item_group_item", "item_group", ["item_id"], if_not_exists=True)
    op.create_table(
        "member",
        sa.Column("item_id", BIG, autoincrement=False, nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("copy", sa.SmallInteger(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.String(length=32), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("added_us", BIG, nullable=False),
        sa.Column("fault", LONG, nullable=True),
        sa.Column("is_forgotten", sa.Boolean(), nullable=False),
        sa.Column("told_state", sa.SmallInteger(), nullable=True),
        sa.Column("told_tries", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("member_source_id_fkey")),
        sa.PrimaryKeyConstraint("item_id", "source_id", "copy", name=op.f("member_pkey")),
        sqlite_with_rowid=False,
        **TABLE,
    )
    op.create_index("member_group", "member", ["group_id", "state"], if_not_exists=True)
