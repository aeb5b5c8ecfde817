"""The only place that asks which database it is."""

from stoker.errors import UserError
from stoker.store.dialects.dialect import BrokenOff, Dialect


def dialect_for(url: str) -> Dialect:
    """Return the dialect for a store's URL; UserError for a database that Stoker does not know."""
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme == "sqlite":
        from stoker.store.dialects.sqlite import SqliteDialect

        return SqliteDialect()
    if scheme == "postgresql":
        from stoker.store.dialects.postgresql import PostgresqlDialect

        return PostgresqlDialect()
    if scheme == "mariadb":
        from stoker.store.dialects.mariadb import MariadbDialect

        return MariadbDialect()
    raise UserError(
        f"`[store] url` begins with `{scheme}`: a store is in SQLite (`sqlite:///PATH`), "
        "PostgreSQL (`postgresql+psycopg://USER@HOST/DATABASE`) or MariaDB "
        "(`mariadb+pymysql://USER@HOST/DATABASE`)"
    )


__all__ = ["BrokenOff", "Dialect", "dialect_for"]
