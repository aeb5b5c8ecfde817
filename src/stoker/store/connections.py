"""The connections of an open store: a bounded pool, which lends one to each transaction."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from stoker.errors import Bug, Unavailable, UserError
from stoker.model.words import shown
from stoker.store.dialects import Dialect
from stoker.store.identity import Identity

MOST = 16  # connections of one process to its store
MOST_READING = 12  # of them, so that writers need not wait for readers
WAIT_S, GLANCE_S = 30.0, 0.2  # for a connection, while all are lent
IDLE_S = 10.0  # a connection that nobody needed for so long is closed
KEPT_BY_MANY = 2  # idle ones that each of very many processes keeps: for its loop and its lease


class _Loan(NamedTuple):
    """Whose connection it is, and which place in the pool it takes; none if it is ahead of others."""

    thread: int
    is_ahead: bool
    writes: bool


class Connections:
    """The connections of one store; `identity` knows whether they lead to the store that was opened.

    A thread borrows a connection for one transaction. The one that came back last is lent first, so
    that no more are open than threads needed at the same time.
    """

    def __init__(self, dialect: Dialect, engine: Engine) -> None:
        self.dialect = dialect
        self.engine = engine
        try:
            self.url = engine.url.render_as_string(hide_password=True)
        except UnicodeEncodeError:
            raise UserError(
                f"`{shown(engine.url.database or '')}` has bytes that are not UTF-8, and no database "
                "can be opened under such a name; choose another"
            ) from None
        self.identity = Identity(self.url)
        self._local = threading.local()
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[tuple[Connection, float]] = []  # with the time since when
        self._lent: dict[Connection, _Loan] = {}
        self._taken = self._taken_to_read = self._waiting = 0
        self._kept = MOST  # idle ones at most

    def close(self) -> None:
        """Close every connection, lent ones too. The store cannot be used afterwards."""
        with self._changed:
            connections = [*self._lent, *(connection for connection, _ in self._idle)]
            self._lent.clear()
            self._idle.clear()
        for connection in connections:
            self._close(connection)
        self.engine.dispose()

    def keep_few(self) -> None:
        """From now on hardly any connection stays open between transactions.

        For workers in batch jobs, of which a server has very many at once.
        """
        self._kept = KEPT_BY_MANY

    def borrow(self, *, writes: bool, wait_s: float) -> tuple[Connection, bool]:
        """Return a connection for this thread, and whether it is new; `hand_back` or `discard` ends it.

        Waits while as many are lent as may be; Unavailable after `wait_s`.
        """
        me = threading.get_ident()
        is_ahead = getattr(self._local, "is_ahead", False)
        with self._changed:
            if any(loan.thread == me for loan in self._lent.values()):
                raise Bug("a thread begins a transaction within another")
            if not (is_ahead or self._has_place(writes=writes)):
                self._wait(writes=writes, wait_s=wait_s)
            if not is_ahead:
                self._taken += 1
                self._taken_to_read += not writes
            loan = _Loan(me, is_ahead, writes)
            if self._idle:
                found = self._idle.pop()[0]
                self._lent[found] = loan
                return found, False
        try:
            made = self.engine.connect()
        except BaseException:
            with self._changed:
                self._free(loan)
            raise
        with self._changed:
            self._lent[made] = loan
        return made, True

    def _has_place(self, *, writes: bool) -> bool:
        return self._taken < MOST and (writes or self._taken_to_read < MOST_READING)

    def _wait(self, *, writes: bool, wait_s: float) -> None:
        self._waiting += 1
        try:
            has_place = self._changed.wait_for(lambda: self._has_place(writes=writes), wait_s)
        finally:
            self._waiting -= 1
        if not has_place:
            raise Unavailable(
                f"this process has been using all its {MOST} connections to the store for over "
                f"{wait_s:g} s; try again, or ask for less at the same time"
            )

    def _free(self, loan: _Loan) -> None:
        """Others may have the place that the loan took."""
        if not loan.is_ahead:
            self._taken -= 1
            self._taken_to_read -= not loan.writes
        if self._waiting:
            self._changed.notify_all()

    def hand_back(self, connection: Connection) -> None:
        """The connection can be lent again. Those that have been idle for long are closed."""
        now_s = time.monotonic()
        with self._changed:
            loan = self._lent.pop(connection, None)
            if loan is None:
                return  # it was discarded, or the store closed
            self._free(loan)
            self._idle.append((connection, now_s))
            stale = [one for one, since_s in self._idle if since_s + IDLE_S < now_s]
            stale += [
                one for one, _ in self._idle[len(stale) : max(len(self._idle) - self._kept, 0)]
            ]
            del self._idle[: len(stale)]
        for one in stale:
            self._close(one)

    def discard(self, connection: Connection) -> None:
        """Close a connection that is useless now, and the idle ones, which have died with it."""
        with self._changed:
            loan = self._lent.pop(connection, None)
            if loan is not None:
                self._free(loan)
            idle = [one for one, _ in self._idle]
            self._idle.clear()
        for one in (connection, *idle):
            self._close(one)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """The block has a connection, outside of transactions."""
        connection, _ = self.borrow(writes=True, wait_s=WAIT_S)
        try:
            yield connection
        except BaseException:
            self.discard(connection)
            raise
        self.hand_back(connection)

    @contextmanager
    def ahead_of_others(self) -> Iterator[None]:
        """In the block this thread never waits for connections that others use: it gets one more."""
        self._local.is_ahead = True
        try:
            yield
        finally:
            self._local.is_ahead = False

    def break_off(self) -> None:
        """No thread waits any longer for the database: each gets Unavailable.

        For a server that has gone silent. A transaction after that finds its connection dead and gets
        a new one. A local file has no such waits.
        """
        with self._changed:
            for connection in (*self._lent, *(one for one, _ in self._idle)):
                with suppress(SQLAlchemyError, *self.dialect.driver_errors):
                    self.dialect.sever(connection.connection.driver_connection)

    def _close(self, connection: Connection) -> None:
        """Close a connection, which may have died already; not where that would do harm."""
        if self.identity.gone is not None:
            self.dialect.keep_open(connection.connection.driver_connection)
            return
        with suppress(SQLAlchemyError):
            connection.invalidate()
            connection.close()
