"""Transactions: the only place where one begins and ends, and where database errors are translated.

A `Unit` is one open transaction. Statements that run once a task are `Prepared`: built with
SQLAlchemy Core, compiled once for the dialect, and then executed as text on the driver's cursor
(measured: 24 against 208 microseconds for Core built anew each time).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from stoker.errors import Bug
from stoker.store.dialects import Dialect

if TYPE_CHECKING:
    from stoker.store.connect import Store


class Prepared:
    """A statement compiled once a dialect; parameters are given by name.

    One parameter may be a list, written `column.in_(param_list("name"))`; such a statement is
    compiled once for each length, lengths being rounded up to powers of two.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
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


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


class Unit:
    """One transaction. `now_us` is the store's clock at its beginning."""

    __slots__ = ("connection", "cursor", "now_us", "store")

    def __init__(self, store: "Store", connection: Connection, cursor: Any, now_us: int) -> None:
        self.store = store
        self.connection = connection
        self.cursor = cursor
        self.now_us = now_us

    def run(self, statement: Prepared, **values: Any) -> Any:
        """Execute once; return the driver's cursor, for its rows or its row count."""
        text, arguments = statement.arguments(self.store, values)
        self.cursor.execute(text, arguments)
        return self.cursor

    def run_many(self, statement: Prepared, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute once for each row; return how many rows of the table were touched."""
        if not rows:
            return 0
        text, names, constants = statement.compiled(self.store)
        if constants:
            rows = [{**constants, **row} for row in rows]
        self.cursor.executemany(text, [[row[name] for name in names] for row in rows])
        return int(self.cursor.rowcount)

    def execute(self, statement: Any, values: Any = None) -> Any:
        """Execute a Core statement through SQLAlchemy; for what does not run once a task."""
        return self.connection.execute(statement, values)


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
    store: "Store", connection: Connection, *, writes: bool, dry_run: bool = False
) -> Iterator[Unit]:
    """Yield a unit; commit when the block ends, roll back when it raises, translating errors.

    With `dry_run` roll back in any case.
    """
    driver = connection.connection.driver_connection
    if driver is None:
        raise Bug("the store's connection has no driver connection")
    cursor = driver.cursor()
    try:
        with translated(store.dialect):
            (store.dialect.begin_write if writes else store.dialect.begin_read)(cursor)
            yield Unit(store, connection, cursor, store.dialect.now_us(connection))
            cursor.execute("ROLLBACK" if dry_run else "COMMIT")
    except BaseException:
        store.dialect.roll_back(cursor)
        raise
    finally:
        cursor.close()


def param(name: str) -> Any:
    """A named parameter of a prepared statement, without a value of its own."""
    return bindparam(name, required=True)


def param_list(name: str) -> Any:
    """A list as a parameter of a prepared statement; never an empty one."""
    return bindparam(name, expanding=True, required=True)
