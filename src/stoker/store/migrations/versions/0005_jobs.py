"""Jobs of clients: whose they are, which requests are remembered, and who is to be called back."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

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
    """Make the tables of jobs, remembered requests, subscribers, and the service's secret."""
    op.create_table(
        "job",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("pipeline_id", sa.Integer(), nullable=False),
        sa.Column("by_user", sa.String(length=200), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("progress", sa.SmallInteger(), nullable=False),
        sa.Column("removed_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("job_pkey")),
        sa.UniqueConstraint("key", name=op.f("job_key_key")),
        **TABLE,
    )
    op.create_index("job_removed", "job", ["removed_us"], if_not_exists=True)
    op.create_table(
        "remembered_request",
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("digest", ID16, nullable=False),
        sa.Column("body", ID16, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("client", "digest", name=op.f("remembered_request_pkey")),
        **TABLE,
    )
    op.create_index(
        op.f("remembered_request_at_us"), "remembered_request", ["at_us"], if_not_exists=True
    )
    op.create_table(
        "subscriber",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("urls", LONG, nullable=False),
        sa.Column("reported", sa.SmallInteger(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("due_us", BIG, nullable=True),
        sa.Column("trouble", LONG, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("subscriber_pkey")),
        **TABLE,
    )
    op.create_index(op.f("subscriber_due_us"), "subscriber", ["due_us"], if_not_exists=True)
    op.create_table(
        "service_secret",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("secret", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("service_secret_pkey")),
        **TABLE,
    )
