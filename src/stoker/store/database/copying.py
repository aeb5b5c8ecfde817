"""All rows of one store, put into another of any kind and compared there.

It knows nothing of what the tables mean: every table of the schema is copied, in an order that
foreign keys allow, page by page, so that it takes no more memory for millions of rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash
from sqlalchemy import Column, Table, and_, delete, func, insert, or_, select

from stoker.errors import Bug
from stoker.failpoints import hit
from stoker.store import tables
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

PAGE = 2_000
_MODULUS = 1 << 128

OnTable = Callable[[str, int], None]


@dataclass(slots=True)
class Content:
    """How many rows a table has, and a digest of them all that does not depend on their order."""

    rows: int = 0
    digest: int = 0

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take these rows in."""
        self.rows += len(rows)
        for row in rows:
            text = repr(tuple(row.values())).encode("utf-8", "surrogatepass")
            self.digest = (self.digest + xxhash.xxh3_128_intdigest(text)) % _MODULUS


def copy_rows(
    source: Unit, target: "Store", *, on_table: OnTable | None = None
) -> dict[str, Content]:
    """Every row that `source` sees is in `target`, which had none; return what that was.

    A transaction of the target for each page: cut short, some rows are there, and `clear` takes
    them out again.
    """
    done: dict[str, Content] = {}
    for table in tables.metadata.sorted_tables:
        content = done[table.name] = Content()
        for rows in _pages(source, table):
            content.add(rows)
            with target.writing() as unit:
                unit.execute(insert(table), rows)
            hit("page_copied")
        if on_table is not None:
            on_table(table.name, content.rows)
    with target.writing() as unit:
        target.dialect.continue_ids(unit.cursor)
    return done


def compare(target: "Store", wanted: dict[str, Content]) -> None:
    """Raise Bug unless `target` holds exactly those rows."""
    for table in tables.metadata.sorted_tables:
        found = Content()
        with target.reading() as unit:
            for rows in _pages(unit, table):
                found.add(rows)
        if found != wanted[table.name]:
            raise Bug(
                f"the copy's table `{table.name}` has {found.rows:,} rows and should have "
                f"{wanted[table.name].rows:,}, or some differ; nothing uses the copy"
            )


def count_rows(unit: Unit) -> dict[str, int]:
    """Return how many rows each table has."""
    return {
        table.name: unit.execute(select(func.count()).select_from(table)).scalar_one()
        for table in tables.metadata.sorted_tables
    }


def is_empty(target: "Store") -> bool:
    """Whether nothing was ever recorded in the store, except perhaps which site it is."""
    with target.reading() as unit:
        return all(
            unit.execute(select(table).limit(1)).first() is None
            for table in tables.metadata.sorted_tables
            if table not in (tables.site, tables.head)
        )


def clear(target: "Store") -> None:
    """No row is left in the store."""
    for table in reversed(tables.metadata.sorted_tables):
        with target.writing() as unit:
            unit.execute(delete(table))


def _pages(unit: Unit, table: Table) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows in the order of their keys."""
    keys = list(table.primary_key.columns)
    query = select(table).order_by(*keys).limit(PAGE)
    page = query
    while True:
        rows = [_as_kept(table, dict(row._mapping)) for row in unit.execute(page)]  # noqa: SLF001 - its public name
        if not rows:
            return
        yield rows
        page = query.where(_after(keys, [rows[-1][key.name] for key in keys]))


def _as_kept(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as the copy has it: who moved a store away is recorded only in the old one."""
    if table is tables.site:
        row["set_aside"] = None
    return row


def _after(keys: list[Column[Any]], last: list[Any]) -> Any:
    """Rows behind that key. The first column stands alone too, for databases that know no better."""
    condition = keys[-1] > last[-1]
    for key, value in zip(reversed(keys[:-1]), reversed(last[:-1]), strict=True):
        condition = and_(key >= value, or_(key > value, condition))
    return condition
