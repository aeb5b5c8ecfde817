"""Whether a store is whole, and taking it over on another host."""

import sqlite3

from sqlalchemy import update

from stoker.store import schema, tables
from stoker.store.connect import OWN_SITE, Store, machine
from stoker.store.dialects import dialect_for

OLDEST_SQLITE = (3, 35)


def sqlite_version() -> tuple[str, bool]:
    """Return the version of SQLite that this Python has, and whether it is new enough."""
    return sqlite3.sqlite_version, sqlite3.sqlite_version_info >= OLDEST_SQLITE


def quick_check(store: Store) -> list[str]:
    """Return what the database itself finds wrong with its file; nothing for a whole one."""
    with store.reading() as unit:
        return store.dialect.quick_check(unit.connection)


def take_over(url: str) -> str:
    """The store at `url` belongs to this host from now on; return its site's name.

    For a file that was moved here for good: nothing may use the old one any more.
    """
    store = Store(url, dialect_for(url))
    try:
        schema.bring_up(store)
        with store.writing(alone=True) as unit:
            own = tables.site
            unit.execute(update(own).where(own.c.id == OWN_SITE).values(machine=machine()))
            row = unit.execute(own.select().where(own.c.id == OWN_SITE)).one()
    finally:
        store.close()
    return str(row.name)
