"""SQL that reads differently on each database, as constructs that the verbs use on all of them."""

import re
from typing import Any

from sqlalchemy import (
    VARBINARY,
    Boolean,
    ColumnElement,
    FromClause,
    LargeBinary,
    Select,
    String,
    Text,
    func,
    literal,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

# For `Index.ddl_if`: where an index may hold some of the rows only, and where it holds all.
PARTIAL_INDEXES: Any = ("sqlite", "postgresql")
WHOLE_INDEXES = "mariadb"


class BytewiseText(VARBINARY):
    """Text that MariaDB keeps as its bytes: compared bytewise, and up to 1,000 bytes in an index."""

    cache_ok = True

    def bind_processor(self, dialect: Any) -> None:
        """Text goes in as text; the column takes its bytes."""

    def result_processor(self, dialect: Any, coltype: Any) -> None:
        """It comes out as text by `column_expression`."""

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """What a SELECT asks for."""
        return _as_text(column)


class LongText(Text):
    """Text without a limit on MariaDB; its dialect's own type would have to be loaded with it."""

    __visit_name__ = "LONGTEXT"


class LongBytes(LargeBinary):
    """Bytes without a limit on MariaDB."""

    __visit_name__ = "LONGBLOB"


def by_index(statement: Select[Any], table: FromClause, index: str) -> Select[Any]:
    """The statement, which is to find its rows of `table` by `index` and no other way.

    Where MariaDB locks rows it locks all that it reads. With few rows, or old statistics, it likes
    to read the whole table instead; claims and finishes at once would then lock each other out.
    """
    return statement.with_hint(table, f"FORCE INDEX (`{index}`)", WHOLE_INDEXES)


def in_written_order(statement: Select[Any]) -> Select[Any]:
    """The statement, which is to begin with the first of its tables, in the order of that one's key.

    For a page of all rows: MariaDB likes to begin with a small table, and to sort all before it
    returns the first.
    """
    return statement.prefix_with("STRAIGHT_JOIN", dialect=WHOLE_INDEXES)


def _as_text(column: ColumnElement[Any]) -> ColumnElement[str]:
    return func.convert(column.op("USING")(literal_column("utf8mb4")), type_=String)


class _Pattern(TypeDecorator[str]):
    """A glob, bound as what the database matches by: itself on SQLite, else a regular expression."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None or dialect.name == "sqlite":
            return value
        return regular_expression(value)


class _Globs(FunctionElement[bool]):
    """A column and a pattern."""

    type = Boolean()
    inherit_cache = True


def globs(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether a key matches a glob: `*`, `?`, `[ab]`, `[a-z]`, `[^a]`; `*` goes past slashes too."""
    return _Globs(column, literal(pattern, _Pattern()))


def _sides(element: _Globs, compiler: Any, more: Any) -> tuple[str, str]:
    column, pattern = element.clauses
    return compiler.process(column, **more), compiler.process(pattern, **more)


@compiles(_Globs)
def _glob(element: _Globs, compiler: Any, **more: Any) -> str:
    column, pattern = _sides(element, compiler, more)
    return f"{column} GLOB {pattern}"


@compiles(_Globs, "postgresql")
def _glob_on_postgresql(element: _Globs, compiler: Any, **more: Any) -> str:
    column, pattern = _sides(element, compiler, more)
    return f"{column} ~ {pattern}"


@compiles(_Globs, "mariadb")
def _glob_on_mariadb(element: _Globs, compiler: Any, **more: Any) -> str:
    column, pattern = _sides(element, compiler, more)
    return f"convert({column} USING utf8mb4) COLLATE utf8mb4_bin REGEXP {pattern}"


def regular_expression(glob: str) -> str:
    """Return the regular expression, of PostgreSQL's and of Perl's kind, that matches as SQLite's GLOB."""
    found = ""
    at = 0
    while at < len(glob):
        one = glob[at]
        at += 1
        if one in "*?":
            found += {"*": ".*", "?": "."}[one]
        elif one == "[":
            bracket = _BRACKET.match(glob, at)
            if bracket is None:
                return "^(?!)"  # a bracket that is never closed matches nothing, as in SQLite
            at = bracket.end()
            inner = re.sub(r"[\\\[\]&~]", r"\\\g<0>", bracket["inner"])
            found += f"[{bracket['negated']}{inner}]"
        else:
            found += one if one.isalnum() or one in "/_" else re.sub(r"\W", r"\\\g<0>", one)
    return f"^{found}$"


_BRACKET = re.compile(r"(?P<negated>\^?)(?P<inner>\]?[^\]]*)\]")


class _SeldomKey(FunctionElement[str]):
    """A row's key, for an index that only rows of seldom events are in."""

    inherit_cache = True
    type = String()
    name = "seldom_key"


def seldom_key(key: ColumnElement[str]) -> ColumnElement[str]:
    """The journal's column `key` where only rows of seldom events are asked for, by their index.

    MariaDB has no partial indexes, so a generated column holds the key in such rows and NULL
    otherwise; the NULLs are together in its index and cost little.
    """
    return _SeldomKey(key)


@compiles(_SeldomKey)
def _plain_key(element: _SeldomKey, compiler: Any, **more: Any) -> str:
    return str(compiler.process(element.clauses, **more))


@compiles(_SeldomKey, "mariadb")
def _reckoned_key(element: _SeldomKey, compiler: Any, **more: Any) -> str:
    (key,) = element.clauses
    return str(compiler.process(key, **more)).removesuffix("`key`") + "seldom_key"


class _NewestId(FunctionElement[str]):
    """The highest of several ids."""

    inherit_cache = True
    type = String()
    name = "newest_id"


def newest_id(column: ColumnElement[bytes]) -> ColumnElement[str]:
    """The highest of a column's ids, in hexadecimal digits: PostgreSQL cannot compare bytes so."""
    return _NewestId(column)


@compiles(_NewestId)
def _highest(element: _NewestId, compiler: Any, **more: Any) -> str:
    return f"lower(max(hex({compiler.process(element.clauses, **more)})))"


@compiles(_NewestId, "postgresql")
def _highest_on_postgresql(element: _NewestId, compiler: Any, **more: Any) -> str:
    return f"max(encode({compiler.process(element.clauses, **more)}, 'hex'))"
