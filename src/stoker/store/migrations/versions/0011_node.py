"""On which node of an outpost an attempt ran."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column; of earlier attempts nobody knows it."""
    asks = op.get_bind().dialect.name != "sqlite"  # which undoes an upgrade that was cut short
    op.add_column(
        "attempt", sa.Column("node", sa.String(length=200), nullable=True), if_not_exists=asks
    )
