"""The only place that asks which database it is."""

from stoker.errors import UserError
from stoker.store.dialects.dialect import Dialect
from stoker.store.dialects.sqlite import SqliteDialect


def dialect_for(url: str) -> Dialect:
    """Return the dialect for a store's URL; UserError for a database that Stoker does not know."""
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme == "sqlite":
        return SqliteDialect()
    raise UserError(
        f"`[store] url` begins with `{scheme}`: this release keeps its store in SQLite; "
        "write `sqlite:///PATH` or leave the setting out"
    )


__all__ = ["Dialect", "dialect_for"]
