"""On which node of an outpost an attempt ran."""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column, to the view for people too; of earlier attempts nobody knows it."""
    dialect = op.get_bind().dialect.name
    is_sqlite = dialect == "sqlite"  # which undoes an upgrade that was cut short
    column = sa.Column("node", sa.String(length=200), nullable=True)
    op.add_column("attempt", column, if_not_exists=not is_sqlite)
    first = import_module("stoker.store.migrations.versions.0001_first")  # which never changes
    views = dict(first._views(first.SQL[dialect]))  # noqa: SLF001 - of the same history
    before, table, behind = views["attempts"].partition("FROM attempt a ")
    if is_sqlite:
        op.execute("DROP VIEW attempts")
    create = "CREATE VIEW" if is_sqlite else "CREATE OR REPLACE VIEW"
    op.execute(f"{create} attempts AS {before.rstrip()}, a.node {table}{behind}")
