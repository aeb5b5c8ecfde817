"""Users, tokens and sessions of the web service, and what clients have submitted there."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE: dict[str, Any] = {
    "if_not_exists": True,  # where a change of the schema is no transaction, it is done again
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    """Make the tables; nothing of the others changes."""
    op.create_table(
        "access_user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("password", sa.String(length=200), nullable=True),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("signed_in_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("access_user_pkey")),
        sa.UniqueConstraint("name", name=op.f("access_user_name_key")),
        **TABLE,
    )
    op.create_table(
        "access_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=True),
        sa.Column("used_us", BIG, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["access_user.id"], name=op.f("access_token_user_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("access_token_pkey")),
        sa.UniqueConstraint("hash", name=op.f("access_token_hash_key")),
        sa.UniqueConstraint("name", name=op.f("access_token_name_key")),
        **TABLE,
    )
    op.create_table(
        "access_session",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("used_us", BIG, nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["access_user.id"], name=op.f("access_session_user_id_fkey")
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("access_session_pkey")),
        **TABLE,
    )
    op.create_index(
        op.f("access_session_user_id"),
        "access_session",
        ["user_id"],
        unique=False,
        if_not_exists=True,
    )
    op.create_table(
        "sign_in_link",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("is_first", sa.SmallInteger(), nullable=False),
        sa.Column("expires_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("sign_in_link_pkey")),
        **TABLE,
    )
    op.create_table(
        "client",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("left_", sa.Double(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipeline.id"], name=op.f("client_pipeline_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("client_pkey")),
        sa.UniqueConstraint("pipeline_id", "name", name=op.f("client_pipeline_id_name_key")),
        **TABLE,
    )
    op.create_table(
        "submission",
        sa.Column("item_id", BIG, autoincrement=False, nullable=False),
        sa.Column("client_id", sa.Integer(), nullable=False),
        sa.Column("is_over", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.id"], name=op.f("submission_client_id_fkey")
        ),
        sa.PrimaryKeyConstraint("item_id", name=op.f("submission_pkey")),
        **TABLE,
    )
    op.create_index(
        op.f("submission_client_id_is_over"),
        "submission",
        ["client_id", "is_over"],
        unique=False,
        if_not_exists=True,
    )
