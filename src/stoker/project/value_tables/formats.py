"""Owns how a table is written in each format: CSV, TSV, SQLite, Parquet.

Every format has the same cells: text, numbers, truth values, or nothing.
"""

import csv
import importlib
import os
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from stoker.errors import UserError
from stoker.project.value_tables.columns import Kind
from stoker.store.reports.table_file import TableFile

if TYPE_CHECKING:
    from types import ModuleType

ROW_GROUP = 100_000


class Format(Protocol):
    """A table in the making."""

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """These rows are in it."""

    def close(self) -> None:
        """All of it is in the file."""


class Separated:
    """Comma- or tab-separated values: UTF-8, quoted as RFC 4180 says, a line feed after each row."""

    def __init__(self, file: IO[str], names: Sequence[str], *, separator: str) -> None:
        self._file = file
        self._writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        self._writer.writerow(names)

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """These rows are in it; nothing is an empty field."""
        self._writer.writerows([[_plain(cell) for cell in row] for row in rows])

    def close(self) -> None:
        """All of it is in the file."""
        self._file.flush()


def _plain(cell: Any) -> Any:
    """Return a cell as the library writes it: truth values as in JSON."""
    if cell is True or cell is False:
        return "true" if cell else "false"
    return cell


_SQLITE = {Kind.BOOLEAN: "INTEGER", Kind.INTEGER: "INTEGER", Kind.NUMBER: "REAL"}


class Parquet:
    """A Parquet file with row groups of a hundred thousand rows."""

    def __init__(self, path: str, names: Sequence[str], kinds: Sequence[Kind]) -> None:
        self._arrow, parquet = _arrow()
        types = {
            Kind.BOOLEAN: self._arrow.bool_(),
            Kind.INTEGER: self._arrow.int64(),
            Kind.NUMBER: self._arrow.float64(),
        }
        text = self._arrow.string()
        self._schema = self._arrow.schema(
            [(name, types.get(kind, text)) for name, kind in zip(names, kinds, strict=True)]
        )
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._batches: list[Any] = []  # Arrow's own form takes a tenth of the room of Python's
        self._rows = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """These rows are in it, or will be with the next group."""
        columns = [
            self._arrow.array(column, type=field.type)
            for column, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._batches.append(self._arrow.record_batch(columns, schema=self._schema))
        self._rows += len(rows)
        if self._rows >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        self._writer.write_table(self._arrow.Table.from_batches(self._batches, self._schema))
        self._batches.clear()
        self._rows = 0

    def close(self) -> None:
        """All of it is in the file."""
        if self._rows:
            self._write()
        self._writer.close()


def _arrow() -> "tuple[ModuleType, ModuleType]":
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            'a Parquet table needs the library pyarrow; `pip install "stoker[parquet]"`'
        ) from None
    return arrow, parquet


def open_format(
    path: str, suffix: str, names: Sequence[str], kinds: Sequence[Kind], *, title: str
) -> Format:
    """Return a table that is written to the file at `path`, which is empty, in the format of `suffix`.

    UserError for one that is not known. `title` names the table in an SQLite database.
    """
    made: dict[str, Callable[[], Format]] = {
        ".csv": lambda: _File(path, names, separator=","),
        ".tsv": lambda: _File(path, names, separator="\t"),
        ".sqlite": lambda: TableFile(
            path, names, [_SQLITE.get(kind, "TEXT") for kind in kinds], title=title
        ),
        ".parquet": lambda: Parquet(path, names, kinds),
    }
    if suffix not in made:
        known = ", ".join(f"`{one}`" for one in made)
        raise UserError(
            f"`{suffix or os.path.basename(path)}` is not a suffix of tables; use {known}"
        )
    return made[suffix]()


class _File(Separated):
    """Separated values in a file of their own."""

    def __init__(self, path: str, names: Sequence[str], *, separator: str) -> None:
        self._own = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115 - closed by `close`
        super().__init__(self._own, names, separator=separator)

    def close(self) -> None:
        """All of it is in the file."""
        self._own.close()
