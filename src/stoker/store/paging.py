"""Lists in pages: each in a transaction of its own, and no dearer for what is not on it.

A list is read whole, page by page, or one page of it, behind a row that is known by its key. No page
counts the rows before it.

A database that joins first and sorts then reads all failed tasks for each page of them. So the ids of
a page may be picked first, in an index and without joining anything, and the rest be read for those.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

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


@dataclass(frozen=True, slots=True)
class Listed:
    """A list: the query for its rows, in the order of the column `by`, which is each row's first.

    The query begins with the table of `by`. With `where`, only rows that it chooses; their `state` is
    one of `kind`. `first` is below every `by`. With `pick` it has the rows of the ids that are picked,
    as far as the query chooses them too; such a list can be read once. With `sifts`, no index answers the
    query: one page of it looks at rows in the order of `by`, a bounded number of them.
    """

    query: Select[Any]
    by: Any
    where: "WhereFilter | None" = None
    kind: type[State] = TaskState
    first: Any = -1
    pick: "Pick | Known | None" = None
    sifts: bool = False


def pages(store: "Store", listed: Listed) -> Iterator[Sequence[Any]]:
    """Yield the rows of the whole list in pages, each of which has some.

    Each page is a transaction of its own, so that a long listing holds nothing up.
    """
    for look in _looks(store, listed, size=PAGE):
        if look.rows:
            yield look.rows


def page(
    store: "Store", listed: Listed, *, after: Any, limit: int
) -> tuple[Sequence[Any], Any | None]:
    """Return at most `limit` rows behind `after` (None: from the first on), and where the next begin.

    Rows behind the latter are still to be read; where it is None there are none. Rows that are looked
    at and not chosen are bounded too: a page may have few rows, or none, and not be the last.
    """
    rows: list[Any] = []
    seen, most = 0, _MOST // 2 if listed.sifts and listed.pick is None else _MOST
    for look in _looks(store, listed, after=after, size=limit + 1, is_bounded=True):
        rows += look.rows
        seen += look.seen
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1][0]
        if seen >= most and not look.is_last:
            return rows, look.last
    return rows, None


class _Look(NamedTuple):
    """The rows that one transaction chose from the next `seen` of a list, as far as `last`."""

    rows: Sequence[Any]
    seen: int
    last: Any
    is_last: bool


def _looks(
    store: "Store",
    listed: Listed,
    *,
    after: Any | None = None,
    size: int,
    is_bounded: bool = False,
) -> Iterator[_Look]:
    """Yield what is behind `after`: at first of `size` rows, then of a page's.

    With `is_bounded`, a list that sifts is read by its ids; else the database goes on until it has found
    as many as it was asked for, however many rows it reads for that.
    """
    by, pick = listed.by, listed.pick
    in_order = in_written_order(listed.query)
    last, is_last = listed.first if after is None else after, False
    while not is_last:
        with store.reading() as unit:
            if pick is None and is_bounded and listed.sifts:
                ids = select(by).where(by > last).order_by(by).limit(size)
                seen = unit.execute(ids).scalars().all()
                query = in_order.where(by > last, by <= seen[-1]).order_by(by) if seen else None
                rows = unit.execute(query).fetchall() if query is not None else []
            elif pick is None:
                query = in_order.where(by > last).order_by(by).limit(size)
                rows = unit.execute(query).fetchall()
                seen = [row[0] for row in rows]
            else:
                seen = pick.take(unit, after, size)
                query = in_order.where(by.in_(seen)).order_by(by)
                rows = unit.execute(query).fetchall() if seen else []
            chosen = listed.where.choose(unit, rows, listed.kind) if listed.where else rows
        is_last = len(seen) < size
        last = seen[-1] if seen else last
        size = PAGE
        yield _Look(chosen, len(seen), last, is_last)


class Known:
    """Ids that were read before, in their order."""

    def __init__(self, ids: Sequence[Any]) -> None:
        self._ids = sorted(ids)
        self._left: Iterator[Any] | None = None

    def take(self, _unit: Unit, after: Any | None, size: int) -> list[Any]:
        """Return the next ids, the first time those behind `after`; fewer where there are no more."""
        if self._left is None:
            begin = 0 if after is None else bisect_right(self._ids, after)
            self._left = islice(self._ids, begin, None)
        return list(islice(self._left, size))


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

    def take(self, unit: Unit, after: Any | None, size: int) -> list[Any]:
        """Return the next ids in rising order, the first time those behind `after`.

        Fewer than `size` where there are no more.
        """
        self._units[:] = [unit]  # that of the page before is over
        if self._merged is None:
            for one in self._ranges:
                one.last = after
            each = min(max(2 * size // max(len(self._ranges), 1), _LEAST), size)
            for at in range(0, len(self._ranges), _AT_ONCE):
                self._read(self._ranges[at : at + _AT_ONCE], each)
            self._merged = merge(*map(self._ids_of, self._ranges))
        return list(islice(self._merged, size))

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
