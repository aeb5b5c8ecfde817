"""One table in an SQLite file of its own, for people and programs that read it with any tool."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any


class TableFile:
    """A table in the making, in the file at `path`, which is empty; `types` are SQLite's."""

    def __init__(
        self, path: str, names: Sequence[str], types: Sequence[str], *, title: str
    ) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            self._database.execute(f"PRAGMA {pragma}")
        columns = ", ".join(
            f"{_quoted(name)} {type_}" + (" PRIMARY KEY NOT NULL" if name == "key" else "")
            for name, type_ in zip(_different(names), types, strict=True)
        )
        self._database.execute("BEGIN")
        self._database.execute(f"CREATE TABLE {_quoted(title)} ({columns})")
        marks = ", ".join("?" * len(names))
        self._insert = f"INSERT INTO {_quoted(title)} VALUES ({marks})"

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """These rows are in it."""
        self._database.executemany(self._insert, rows)

    def close(self) -> None:
        """All of it is in the file."""
        with closing(self._database):
            self._database.execute("COMMIT")


def _different(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where two would be one to SQLite, which ignores case."""
    taken: set[str] = set()
    made = []
    for name in names:
        number, new = 1, name
        while new.lower() in taken:
            number += 1
            new = f"{name}_{number}"
        taken.add(new.lower())
        made.append(new)
    return made


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
