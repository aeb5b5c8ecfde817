"""Rows that a file declares by name, such as batch systems and outposts: what they all have in common."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import Table, select, update

from stoker.errors import NotFound
from stoker.spec.problems import suggest
from stoker.store.unit import Unit


class Known(Protocol):
    """A row that the store has."""

    @property
    def name(self) -> str:
        """As the file names it."""

    @property
    def digest(self) -> str:
        """Of what the file says of it."""

    @property
    def set_by(self) -> bytes:
        """Which file."""

    @property
    def is_removed(self) -> bool:
        """Whether that file no longer has it."""


class Wanted(Protocol):
    """What a file says."""

    @property
    def digest(self) -> str:
        """The same as that of a row that needs no change."""


def rows_of(unit: Unit, table: Table) -> list[dict[str, Any]]:
    """Return the rows by name."""
    return [_plain(row) for row in unit.execute(select(table).order_by(table.c.name))]


def locked_row(unit: Unit, table: Table, name: str, *, kind: str, hint: str) -> dict[str, Any]:
    """Return the row, which nobody else changes until the transaction ends; NotFound if none."""
    query = select(table).where(table.c.name == name)
    if unit.store.dialect.locks_rows:
        query = query.with_for_update()
    row = unit.execute(query).one_or_none()
    if row is None:
        known = unit.execute(select(table.c.name)).scalars().all()
        raise NotFound(f"there is no {kind} `{name}`; {suggest(name, known) or hint}")
    return _plain(row)


def change_row(unit: Unit, table: Table, name: str, **columns: Any) -> None:
    """The row has these values."""
    unit.execute(update(table).where(table.c.name == name).values(**columns))


def _plain(row: Any) -> dict[str, Any]:
    fields = dict(row._mapping)  # noqa: SLF001 - the name is public in SQLAlchemy
    return fields | {
        "settings": json.loads(fields["settings"]),
        "set_by": bytes(fields["set_by"]),
    }


def differs(known: Iterable[Known], wanted: Mapping[str, Wanted], set_by: bytes) -> bool:
    """Whether anything is to be changed so that the store has what this file says."""
    rows = list(known)
    there = {one.name: one.digest for one in rows if not one.is_removed}
    is_changed = any(there.get(name) != one.digest for name, one in wanted.items())
    return is_changed or any(is_dropped(one, wanted, set_by) for one in rows)


def is_dropped(one: Known, wanted: Mapping[str, Wanted], set_by: bytes) -> bool:
    """Whether this file had declared the row, and has it no more."""
    return one.name not in wanted and one.set_by == set_by and not one.is_removed
