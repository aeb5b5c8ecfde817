"""Opening a store: the connection, the schema's version, and which site this is."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import Connection, select

from stoker.errors import NotFound, Refused
from stoker.store import schema, tables
from stoker.store.dialects import Dialect, dialect_for
from stoker.store.unit import Unit, transaction, translated

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.model.task import VersionId
    from stoker.store.catalog import Catalog

OWN_SITE = 1


class Store:
    """One open store. Threads may share it: each gets a connection of its own.

    `versions` caches pipelines by version id; versions never change, so neither does an entry.
    """

    def __init__(self, url: str, dialect: Dialect) -> None:
        self.url = url
        self.dialect = dialect
        self.engine = dialect.engine(url)
        self.versions: dict[VersionId, Pipeline] = {}
        self.catalog: Catalog | None = None
        self.epoch = 1
        self.host = socket.gethostname()
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where what belongs to the store but is no row lies: logs of attempts, and scratch."""
        return Path(self.engine.url.database or ".").absolute().parent

    def writing(self, *, dry_run: bool = False) -> AbstractContextManager[Unit]:
        """A transaction that writes: all of its block happens, or nothing.

        With `dry_run` nothing, but the block sees what would have been.
        """
        return transaction(self, self._connection(), writes=True, dry_run=dry_run)

    def reading(self) -> AbstractContextManager[Unit]:
        """A transaction that reads one state of the store."""
        return transaction(self, self._connection(), writes=False)

    def checkpoint(self) -> None:
        """Let the database do its housekeeping; never inside a transaction."""
        self.dialect.checkpoint(self._connection())

    def close(self) -> None:
        """Close every connection that any thread opened. The store cannot be used afterwards."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self.engine.dispose()

    def _connection(self) -> Connection:
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None:
            with translated(self.dialect):
                found = self.engine.connect()
            self._local.connection = found
            with self._lock:
                self._connections.append(found)
        return found


def open_store(url: str, *, site_name: str = "", create: bool = True) -> Store:
    """Return the store at `url`, made or brought to this release's schema if need be.

    NotFound where there is none and `create` is false. Refused where the file belongs to another
    host, or was written by a later release.
    """
    dialect = dialect_for(url)
    if not create and not dialect.exists(url):
        raise NotFound(f"there is no store at `{url}` yet; `stoker push` or `stoker run` makes it")
    store = Store(url, dialect)
    try:
        schema.bring_up(store)
        _identify(store, site_name)
    except BaseException:
        store.close()
        raise
    return store


@contextmanager
def opened(url: str, *, site_name: str = "") -> Iterator[Store]:
    """`open_store` as a block, closing at its end."""
    store = open_store(url, site_name=site_name)
    try:
        yield store
    finally:
        store.close()


def machine() -> str:
    """Return what identifies this host: its machine id where there is one, else its name."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            found = Path(path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found
    return socket.gethostname()


def _identify(store: Store, site_name: str) -> None:
    """Learn which site this is, making it known in a new store; refuse another host's file."""
    own = tables.site
    with store.reading() as unit:
        row = unit.execute(select(own).where(own.c.id == OWN_SITE)).one_or_none()
    if row is None:
        with store.writing() as unit:
            row = unit.execute(select(own).where(own.c.id == OWN_SITE)).one_or_none()
            if row is None:
                unit.execute(
                    own.insert().values(
                        id=OWN_SITE,
                        uid=str(uuid4()),
                        name=site_name or socket.gethostname(),
                        epoch=1,
                        machine=machine(),
                        path=os.fsencode(store.folder),
                        created_us=unit.now_us,
                    )
                )
                unit.execute(tables.head.insert().values(origin=OWN_SITE, epoch=1, seq=0))
        return
    store.epoch = row.epoch
    if row.machine != machine() and store.dialect.name == "sqlite":
        raise Refused(
            f"the store `{store.url}` belongs to another host: SQLite serves one host only. "
            "Run Stoker there, put the store on a database server, or, if the file was moved "
            "here for good, say so with `stoker doctor --moved`"
        )
