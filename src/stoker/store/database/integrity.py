"""Whether a store is whole, whether somebody works on it, and taking it over on another host."""

import sqlite3

from sqlalchemy import and_, select, update

from stoker.errors import Refused
from stoker.model.lease_kind import LeaseKind
from stoker.model.states import WorkerState
from stoker.store import tables
from stoker.store.database import schema
from stoker.store.database.connect import machine
from stoker.store.dialects import dialect_for
from stoker.store.dialects.dialect import OWN_SITE
from stoker.store.unit import Store, Unit

OLDEST_SQLITE = (3, 35)
_W = tables.worker


def sqlite_version() -> tuple[str, bool]:
    """Return the version of SQLite that this Python has, and whether it is new enough."""
    return sqlite3.sqlite_version, sqlite3.sqlite_version_info >= OLDEST_SQLITE


def most_connections(store: "Store") -> int | None:
    """Return how many connections the store's server allows to all together; None without a server."""
    if store.dialect.ask_connections is None:
        return None
    with store.reading() as unit:
        unit.cursor.execute(store.dialect.ask_connections)
        return int(unit.cursor.fetchone()[0])


def quick_check(store: Store) -> list[str]:
    """Return what the database itself finds wrong with its file; nothing for a whole one."""
    with store.reading() as unit:
        return store.dialect.quick_check(unit.connection)


def refuse_workers(unit: Unit, what: str) -> None:
    """Raise Refused while a worker is alive, or may be."""
    query = select(_W.c.name, _W.c.host, _W.c.pid, _W.c.lease_until_us)
    alive = and_(
        _W.c.state == WorkerState.ALIVE.value, _W.c.lease_kind == LeaseKind.HEARTBEAT.value
    )  # an outpost has no connection to the store
    row = unit.execute(query.where(alive, _W.c.lease_until_us > unit.now_us).limit(1)).first()
    if row is not None:
        wait_s = max(1, (row.lease_until_us - unit.now_us) // 1_000_000)
        raise Refused(
            f"worker `{row.name}` on `{row.host}` (process {row.pid}) is alive: stop all workers of "
            f"the project to {what}; one that died without a word counts as dead in {wait_s} s"
        )


def take_over(url: str) -> str:
    """The store at `url` belongs to this host from now on; return its site's name.

    For a file that was moved here for good: nothing may use the old one any more.
    """
    store = Store(url, dialect_for(url))
    try:
        schema.bring_up(store, create=False)
        with store.writing(alone=True) as unit:
            own = tables.site
            unit.execute(update(own).where(own.c.id == OWN_SITE).values(machine=machine()))
            row = unit.execute(own.select().where(own.c.id == OWN_SITE)).one()
    finally:
        store.close()
    return str(row.name)
