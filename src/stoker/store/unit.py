"""A store and its transactions: where one begins and ends, and where database errors are translated.

A `Unit` is one open transaction. Statements that run once a task are `Prepared`: built with
SQLAlchemy Core, compiled once for the dialect, and then executed as text on the driver's cursor
(measured: 24 against 208 microseconds for Core built each time).
"""

import functools
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Table, bindparam, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from stoker.errors import Bug
from stoker.failpoints import hit
from stoker.rights import PRIVATE, Rights
from stoker.store import connections
from stoker.store.connections import Connections
from stoker.store.dialects import BrokenOff, Dialect
from stoker.store.dialects.dialect import OWN_SITE
from stoker.store.statement_kinds import NeedsLock, is_change

if TYPE_CHECKING:
    from stoker.model.id_types import VersionId
    from stoker.model.pipeline import Pipeline
    from stoker.store.steps import Catalog

TRIES = 6  # of a transaction that the database broke off
_MANY = 32  # rows of which it pays to look which columns have values
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Prepared:
    """A statement compiled once a dialect; parameters are given by name.

    One parameter may be a list, written `column.in_(param_list("name"))`; such a statement is
    compiled once for each length, lengths being rounded up to powers of two.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self.is_change = is_change(statement)
        self._compiled: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {}

    def compiled(self, store: "Store") -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """Return the text, the names of its parameters in order, and the constants among them."""
        found = self._compiled.get(store.dialect.name)
        if found is None:
            compiled = self._statement.compile(dialect=store.engine.dialect)
            if not isinstance(compiled, SQLCompiler):
                raise Bug("only statements can be prepared")
            constants = {n: v for n, v in compiled.params.items() if v is not None}
            found = (str(compiled), tuple(compiled.positiontup or ()), constants)
            self._compiled[store.dialect.name] = found
        return found

    def arguments(self, store: "Store", values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """Return the text and the driver's arguments, with a list spread over its placeholders."""
        text, names, constants = self.compiled(store)
        arguments: list[Any] = []
        for name in names:
            value = values[name] if name in values else constants[name]
            if isinstance(value, list):
                padded = value + [value[-1]] * (_power_of_two(len(value)) - len(value))
                places = ", ".join([store.dialect.placeholder] * len(padded))
                text = text.replace(f"(__[POSTCOMPILE_{name}])", f"({places})")
                arguments += padded
            else:
                arguments.append(value)
        return text, arguments


@functools.cache
def _insertion(table: Table, fields: tuple[str, ...]) -> Prepared:
    return Prepared(insert(table).values(**{name: param(name) for name in fields}))


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


class Unit:
    """One transaction. `now_us` is the store's clock at its beginning.

    It changes tasks for `site`, the store's own unless it records what another site did; `others` are
    the steps, by pipeline and name, that belong to other sites, once the catalog was read. `lanes` are those that it looked up or made, by what they are for: nobody else may know of them
    before the commit.
    """

    __slots__ = (
        "connection", "cursor", "is_reading", "lanes", "now_us", "others", "site", "store",
    )  # fmt: skip

    def __init__(
        self,
        store: "Store",
        connection: Connection,
        cursor: Any,
        now_us: int,
        *,
        is_reading: bool,
        site: int | None = None,
    ) -> None:
        self.is_reading = is_reading
        self.store = store
        self.connection = connection
        self.cursor = cursor
        self.now_us = now_us
        self.site = store.site if site is None else site
        self.others: frozenset[tuple[str, str]] | None = None
        self.lanes: dict[tuple[int, int, str, str], int] = {}

    def run(self, statement: Prepared, **values: Any) -> Any:
        """Execute once; return the driver's cursor, for its rows or its row count."""
        if statement.is_change:
            self.check_lock()
        text, arguments = statement.arguments(self.store, values)
        self.cursor.execute(text, arguments)
        return self.cursor

    def run_many(self, statement: Prepared, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute once for each row; return how many rows of the table were touched."""
        if not rows:
            return 0
        self.check_lock()
        text, names, constants = statement.compiled(self.store)
        if constants:
            rows = [{**constants, **row} for row in rows]
        return self.store.dialect.run_many(self.cursor, text, names, rows)

    def insert(
        self, table: Table, fields: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Insert rows with the values of these fields, which are named in the order of the table's.

        Of many rows, columns without a value in any of them are left out: drivers take long over each
        None, up to a quarter of the time where items have no files.
        """
        self.check_lock()
        if len(rows) >= _MANY:
            columns = list(zip(*rows, strict=True))
            given = [column.count(None) < len(rows) for column in columns]
            fields = tuple(compress(fields, given))
            rows = list(zip(*compress(columns, given), strict=True))
        text, names, _ = _insertion(table, fields).compiled(self.store)
        if fields != names:
            raise Bug(f"fields of `{table.name}` are named in another order than the table's")
        if len(rows) == 1:
            self.cursor.execute(text, rows[0])
        else:
            self.cursor.executemany(text, rows)

    def execute(self, statement: Any, values: Any = None) -> Any:
        """Execute a Core statement through SQLAlchemy; for what does not run once a task."""
        if self.is_reading and is_change(statement):
            raise NeedsLock
        return self.connection.execute(statement, values)

    def check_lock(self) -> None:
        """NeedsLock in a transaction that only reads; called before anything is changed."""
        if self.is_reading:
            raise NeedsLock


@contextmanager
def translated(dialect: Dialect) -> Iterator[None]:
    """Raise what the database's errors mean to people, for those that people can do something about."""
    known_errors: tuple[type[Exception], ...] = (SQLAlchemyError, *dialect.driver_errors)
    try:
        yield
    except known_errors as error:
        known = dialect.translate(error)
        if known is None:
            raise
        raise known from error


@contextmanager
def transaction(
    store: "Store",
    *,
    writes: bool,
    dry_run: bool = False,
    alone: bool = False,
    durable: bool = True,
    site: int | None = None,
) -> Iterator[Unit]:
    """Yield a unit; commit when the block ends, roll back when it raises, translating errors.

    With `dry_run` roll back in any case; with `alone` no other transaction writes meanwhile. After
    an outage the next transaction has a new connection.
    """
    with store.identity.watched(), translated(store.dialect):
        if writes:
            store.dialect.give_way()
        unit = _begin(store, writes=writes, alone=alone, durable=durable, site=site)
        began_s = time.monotonic()
        try:
            yield unit
            if writes:
                hit("transaction.before_commit")
            if dry_run:
                store.forget()
                unit.cursor.execute("ROLLBACK")
            elif writes:
                unit.cursor.execute("COMMIT")
                hit("transaction.committed")
            else:
                store.dialect.end_read(unit.cursor)
        except BaseException:
            if writes:
                store.forget()
            _abandon(store, unit.connection, unit.cursor)
            raise
        finally:
            if writes:
                store.dialect.note_held(time.monotonic() - began_s)
            with suppress(*store.dialect.driver_errors):
                unit.cursor.close()
            store.hand_back(unit.connection)


def _begin(store: "Store", *, writes: bool, alone: bool, durable: bool, site: int | None) -> Unit:
    """Begin a transaction; on a new connection where an idle one turns out to have died."""
    while True:
        connection, is_new = store.borrow(
            writes=writes, wait_s=connections.WAIT_S if store.waits else connections.GLANCE_S
        )
        try:
            driver: Any = connection.connection.driver_connection
            cursor = driver.cursor()
        except BaseException:
            store.discard(connection)
            raise
        try:
            if writes:
                now_us = store.dialect.begin_write(
                    cursor, alone=alone, waits=store.waits, durable=durable
                )
            else:
                now_us = store.dialect.begin_read(cursor)
            if is_new:
                store.identity.check(cursor)
        except BaseException as error:
            is_usable = _abandon(store, connection, cursor)
            store.hand_back(connection)
            if is_usable or is_new or not isinstance(error, store.dialect.driver_errors):
                raise
        else:
            return Unit(store, connection, cursor, now_us, is_reading=not writes, site=site)


def _abandon(store: "Store", connection: Connection, cursor: Any) -> bool:
    """Undo what the cursor's transaction did; return whether its connection can be used again."""
    is_usable = store.dialect.roll_back(cursor)
    if not is_usable:
        store.discard(connection)
    return is_usable


def as_a_whole(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run the verb again, up to six times, where the database broke its transaction off.

    For a function of one transaction that changes nothing but the store.
    """

    @functools.wraps(verb)
    def again(*args: _P.args, **more: _P.kwargs) -> _R:
        for tries in range(1, TRIES):
            try:
                return verb(*args, **more)
            except BrokenOff:
                time.sleep(random.uniform(0, 0.005) * 2**tries)  # noqa: S311 - to part rivals
        return verb(*args, **more)

    return again


def param(name: str) -> Any:
    """A named parameter of a prepared statement, without a value of its own."""
    return bindparam(name, required=True)


def param_list(name: str) -> Any:
    """A list as a parameter of a prepared statement; never an empty one."""
    return bindparam(name, expanding=True, required=True)


MOST_IN_LIST = 1 << 13


def in_parts(values: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the values in lists that every database takes as parameters, however many there are.

    A statement has at most 65,535 of them on PostgreSQL, and 32,766 in most builds of SQLite.
    """
    for at in range(0, len(values), MOST_IN_LIST):
        yield list(values[at : at + MOST_IN_LIST])


class Store(Connections):
    """One open store. Threads may share it: each transaction borrows a connection.

    `site` is its own site's row in `site`, and `epoch` the one in which its journal goes on now.
    `versions` caches pipelines by version id; versions never change, so neither does an entry.
    """

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        *,
        folder: str | None = None,
        password_file: str | None = None,
        rights: Rights = PRIVATE,
    ) -> None:
        super().__init__(dialect, dialect.engine(url, password_file=password_file))
        self.versions: dict[VersionId, Pipeline] = {}
        self.catalog: Catalog | None = None
        self.site, self.epoch = OWN_SITE, 1
        self.rights = rights
        self.host = socket.gethostname()
        self._folder = Path(folder or ".stoker").absolute()

    @property
    def folder(self) -> Path:
        """The folder of what belongs to the store but is not a row: logs of attempts, and scratch."""
        return self.dialect.folder(self.engine) or self._folder

    def writing(
        self,
        *,
        dry_run: bool = False,
        alone: bool = False,
        durable: bool = True,
        site: int | None = None,
    ) -> AbstractContextManager[Unit]:
        """A transaction that writes: all of its block happens, or nothing.

        With `dry_run` nothing, but the block sees what would have been. With `alone` no other
        transaction writes meanwhile: for the rare changes that concern every task. One that need not
        be `durable` may be undone if this host loses its power, which ends its workers too. It changes
        only tasks of `site`, by default the store's own.
        """
        writes = not getattr(self._local, "only_reads", False)
        return transaction(
            self, writes=writes, dry_run=dry_run, alone=alone, durable=durable, site=site
        )

    @contextmanager
    def reading_only(self) -> Iterator[None]:
        """In the block this thread's transactions raise NeedsLock before they change anything."""
        self._local.only_reads = True
        try:
            yield
        finally:
            self._local.only_reads = False

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """In the block this thread waits only a moment for the right to write; then Unavailable."""
        self._local.waits = False
        try:
            yield
        finally:
            self._local.waits = True

    @property
    def waits(self) -> bool:
        """Whether this thread waits for others who write, as it does by default."""
        return getattr(self._local, "waits", True)

    def reading(self) -> AbstractContextManager[Unit]:
        """A transaction that reads one state of the store."""
        return transaction(self, writes=False)

    def forget(self) -> None:
        """Clear the pipeline cache; it may hold data from a transaction that is being rolled back."""
        self.catalog = None
        self.versions.clear()

    def checkpoint(self) -> None:
        """Let the database do its housekeeping; never inside a transaction."""
        with translated(self.dialect), self.connected() as connection:
            self.dialect.checkpoint(connection)

    def give_back(self) -> bool:
        """Let a little of the store's free room go back to the disk; return whether there is more."""
        with translated(self.dialect), self.connected() as connection:
            return self.dialect.give_back(connection)
