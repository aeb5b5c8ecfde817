"""The connections of an open store: one a thread, made when it is needed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from stoker.store.dialects import Dialect
from stoker.store.identity import Identity


class Connections:
    """Those of one store, whose `identity` says whether they lead to the store that was opened."""

    def __init__(self, dialect: Dialect, engine: Engine) -> None:
        self.dialect = dialect
        self.engine = engine
        self.url = engine.url.render_as_string(hide_password=True)
        self.identity = Identity(self.url)
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every connection that any thread opened. The store cannot be used afterwards."""
        with self._lock:
            for connection in self._connections:
                if self.identity.gone is None:
                    _close(connection)
                else:
                    self.dialect.keep_open(connection.connection.driver_connection)
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

    @contextmanager
    def briefly(self) -> Iterator[None]:
        """In this thread, which seldom asks, the block's connection is closed at its end.

        For workers of which there are hundreds, while a server takes a hundred connections.
        """
        try:
            yield
        finally:
            self.discard_connection()

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
