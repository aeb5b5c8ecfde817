"""Opening a store: the connection, the schema's version, and which site this is."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from stoker.errors import Refused
from stoker.store import schema, tables
from stoker.store.dialects import Dialect, dialect_for
from stoker.store.unit import Unit, as_a_whole, transaction, translated

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.model.task import VersionId
    from stoker.store.catalog import Catalog

OWN_SITE = 1


class Store:
    """One open store. Threads may share it: each gets a connection of its own.

    `versions` caches pipelines by version id; versions never change, so neither does an entry.
    """

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        *,
        folder: str | None = None,
        password_file: str | None = None,
    ) -> None:
        self.dialect = dialect
        self.engine = dialect.engine(url, password_file=password_file)
        self.url = self.engine.url.render_as_string(hide_password=True)
        self.versions: dict[VersionId, Pipeline] = {}
        self.catalog: Catalog | None = None
        self.epoch = 1
        self.host = socket.gethostname()
        self._folder = Path(folder or ".stoker").absolute()
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where what belongs to the store but is no row lies: logs of attempts, and scratch."""
        return self.dialect.folder(self.engine) or self._folder

    def writing(
        self, *, dry_run: bool = False, alone: bool = False
    ) -> AbstractContextManager[Unit]:
        """A transaction that writes: all of its block happens, or nothing.

        With `dry_run` nothing, but the block sees what would have been. With `alone` no other
        transaction writes meanwhile: for the rare changes that concern every task.
        """
        return transaction(self, writes=True, dry_run=dry_run, alone=alone)

    def reading(self) -> AbstractContextManager[Unit]:
        """A transaction that reads one state of the store."""
        return transaction(self, writes=False)

    def forget(self) -> None:
        """Drop what is known of pipelines: a transaction is about to be undone that may have told it."""
        self.catalog = None
        self.versions.clear()

    def checkpoint(self) -> None:
        """Let the database do its housekeeping; never inside a transaction."""
        with translated(self.dialect):
            self.dialect.checkpoint(self.connection())

    def give_back(self) -> bool:
        """Let a little of the store's free room go back to the disk; return whether there is more."""
        with translated(self.dialect):
            return self.dialect.give_back(self.connection())

    def close(self) -> None:
        """Close every connection that any thread opened. The store cannot be used afterwards."""
        with self._lock:
            for connection in self._connections:
                _close(connection)
            self._connections.clear()
        self.engine.dispose()

    @property
    def has_connection(self) -> bool:
        """Whether this thread has a connection already."""
        return getattr(self._local, "connection", None) is not None

    def connection(self) -> Connection:
        """Return this thread's connection, opening it if need be."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self.engine.connect()
            self._local.connection = found
            with self._lock:
                self._connections.append(found)
        return found

    def break_off(self) -> None:
        """Whoever waits for the database, in any thread, waits no longer: Unavailable.

        For a server that has gone silent. Where nobody waits, the next transaction finds out, and
        has a new connection. A local file has no such waits.
        """
        with self._lock:
            for connection in self._connections:
                with suppress(SQLAlchemyError, *self.dialect.driver_errors):
                    self.dialect.sever(connection.connection.driver_connection)

    def discard_connection(self) -> None:
        """Close this thread's connection, which is of no use any more; the next will be a new one."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            return
        self._local.connection = None
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
        _close(connection)


def _close(connection: Connection) -> None:
    """Close a connection that may have died already."""
    with suppress(SQLAlchemyError):
        connection.invalidate()
        connection.close()


def open_store(
    url: str,
    *,
    site_name: str = "",
    create: bool = True,
    folder: str | None = None,
    password_file: str | None = None,
) -> Store:
    """Return the store at `url`, made or brought to this release's schema if need be.

    NotFound where there is none and `create` is false. Refused where the file belongs to another
    host, or was written by a later release. `folder` is where this host keeps logs and scratch of a
    store on a server.
    """
    store = Store(url, dialect_for(url), folder=folder, password_file=password_file)
    try:
        schema.bring_up(store, create=create)
        _identify(store, site_name)
    except BaseException:
        store.close()
        raise
    return store


@contextmanager
def bare(
    url: str, *, folder: str | None = None, password_file: str | None = None
) -> Iterator[Store]:
    """Yield the store at `url` as it is, for the verbs that make, change and move stores themselves.

    Neither its schema nor whose it is has been looked at, and nothing has been made.
    """
    store = Store(url, dialect_for(url), folder=folder, password_file=password_file)
    try:
        yield store
    finally:
        store.close()


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


MOVED, BACKUP = "moved to ", "backup of "  # how `site.set_aside` begins


def aside(store: Store, said: str) -> str:
    """Return what to tell who opens a store that is not to be worked on any more, or not yet."""
    if said.startswith(BACKUP):
        return (
            f"`{store.url}` is a backup, made {said.removeprefix(BACKUP)}; `stoker store restore` "
            "makes the project's store from it"
        )
    return (
        f"the store `{store.url}` was moved to `{said.removeprefix(MOVED)}`: set `[store] url` to "
        "that; here nothing is recorded any more"
    )


@as_a_whole
def _identify(store: Store, site_name: str) -> None:
    """Learn which site this is, making it known in a new store; refuse another host's file."""
    own = tables.site
    with store.reading() as unit:
        row = unit.execute(select(own).where(own.c.id == OWN_SITE)).one_or_none()
    if row is None:
        with store.writing(alone=True) as unit:
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
    if row.set_aside is not None:
        raise Refused(aside(store, row.set_aside))
    refuse_foreign(store, row.machine)


def refuse_foreign(store: Store, of_machine: str) -> None:
    """Raise Refused where the store is a file that belongs to another machine than this one."""
    if of_machine != machine() and store.dialect.is_one_host:
        raise Refused(
            f"the store `{store.url}` belongs to another host: SQLite serves one host only. "
            "Run Stoker there, put the store on a database server, or, if the file was moved "
            "here for good, say so with `stoker doctor --moved`"
        )
