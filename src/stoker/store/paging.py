"""Lists in pages: each in a transaction of its own, and no dearer for what is not on it.

A database that joins first and sorts then reads all failed tasks for each page of them. So the ids of
a page may be picked first, in an index and without joining anything, and the rest be read for those.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, literal, select, union_all

from stoker.model.states import State, TaskState
from stoker.store.dialects.constructs import in_written_order
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.selection import WhereFilter
    from stoker.store.unit import Store

PAGE = 1_000
_LEAST, _MOST = 64, 16 * PAGE  # ids of one range that are read at once
_AT_ONCE = 100  # ranges in one statement


def pages(
    store: "Store",
    query: Select[Any],
    by: Any,
    where: "WhereFilter | None" = None,
    *,
    kind: type[State] = TaskState,
    first: Any = -1,
    pick: "Pick | Known | None" = None,
) -> Iterator[Sequence[Any]]:
    """Yield the query's rows in pages, in the order of the column `by`, which is the row's first.

    Each page is a transaction of its own, so that a long listing holds nothing up. With `where`,
    only rows that it chooses; their `state` is one of `kind`. `first` is below every `by`. With
    `pick` a page has the rows of the ids that it picks, as far as the query chooses them too. The
    query begins with the table of `by`.
    """
    in_order = in_written_order(query)
    last, is_last = first, False
    while not is_last:
        with store.reading() as unit:
            if pick is None:
                page = in_order.where(by > last).order_by(by).limit(PAGE)
                rows = unit.execute(page).fetchall()
                is_last = len(rows) < PAGE
            else:
                ids = pick.take(unit)
                page = in_order.where(by.in_(ids)).order_by(by)
                rows = unit.execute(page).fetchall() if ids else []
                is_last = len(ids) < PAGE
            chosen = where.choose(unit, rows, kind) if where else rows
        if chosen:
            yield chosen
        if rows:
            last = rows[-1][0]


class Known:
    """Ids that were read before, in their order."""

    def __init__(self, ids: Sequence[Any]) -> None:
        self._ids = iter(sorted(ids))

    def take(self, _unit: Unit) -> list[Any]:
        """Return a page's ids; fewer than a page where there are no more."""
        return list(islice(self._ids, PAGE))


class Pick:
    """The ids that some ranges of an index hold, merged in their order, each read once.

    A range is a query for the ids in `column`, which an index answers. The first ids of all ranges
    come by one statement, further ones as they are used up.
    """

    def __init__(self, column: ColumnElement[Any], ranges: Sequence[Select[Any]]) -> None:
        self._column = column
        self._ranges = [_Range(query) for query in ranges]
        self._merged: Iterator[Any] | None = None
        self._units: list[Unit] = []

    def take(self, unit: Unit) -> list[Any]:
        """Return a page's ids in rising order; fewer than a page where there are no more."""
        self._units[:] = [unit]  # that of the page before is over
        if self._merged is None:
            size = min(max(2 * PAGE // max(len(self._ranges), 1), _LEAST), PAGE)
            for at in range(0, len(self._ranges), _AT_ONCE):
                self._read(self._ranges[at : at + _AT_ONCE], size)
            self._merged = merge(*map(self._ids_of, self._ranges))
        return list(islice(self._merged, PAGE))

    def _ids_of(self, one: "_Range") -> Iterator[Any]:
        while one.ids:
            yield from one.ids
            one.ids = []
            if not one.is_over:
                self._read([one], min(2 * one.size, _MOST))

    def _read(self, ranges: Sequence["_Range"], size: int) -> None:
        """Each of these ranges has its next ids."""
        parts = []
        for number, one in enumerate(ranges):
            query = one.query if one.last is None else one.query.where(self._column > one.last)
            ids = query.order_by(self._column).limit(size).subquery(f"range{number}")
            parts.append(select(literal(number, literal_execute=True).label("number"), *ids.c))
            one.size = size
        for number, id_ in self._units[0].execute(union_all(*parts) if parts[1:] else parts[0]):
            ranges[number].ids.append(id_)
        for one in ranges:
            one.ids.sort()  # the statement has them in order by chance only
            one.is_over = len(one.ids) < size
            one.last = one.ids[-1] if one.ids else one.last


class _Range:
    """One range: its query, what was read of it and is not used yet, and how far that goes."""

    __slots__ = ("ids", "is_over", "last", "query", "size")

    def __init__(self, query: Select[Any]) -> None:
        self.query = query
        self.ids: list[Any] = []
        self.last: Any = None
        self.is_over = False
        self.size = 0
