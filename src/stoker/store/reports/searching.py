"""Finding items by what somebody remembers of their keys, in a store of any size.

A key, its beginning, and a glob that begins with a text are found by an index. A part of a key is looked
for among the items that were registered last; the answer says whether there are more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from stoker.model.selection import after_prefix
from stoker.model.states import ItemState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.dialects.constructs import by_index, globs

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit

SHOWN = 20  # items of each kind
AMONG = 10_000  # items that are looked through for a part of a key

_I, _P = tables.item, tables.pipeline
_COLUMNS = (_I.c.id, _I.c.key, _I.c.state, _I.c.pipeline_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItem:
    """An item that fits."""

    pipeline: str
    item: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What fits a text: items of exactly this key, those whose keys begin so, and others that hold it.

    `is_cut`: there are more than are listed, or further items were not looked through.
    """

    exact: Sequence[FoundItem] = ()
    begins: Sequence[FoundItem] = ()
    holds: Sequence[FoundItem] = ()
    pipelines: Sequence[str] = ()
    is_cut: bool = False


def search(store: "Store", text: str) -> Found:
    """Return what fits the text; nothing for one that no key has."""
    if not text or "\0" in text:
        return Found()
    with store.reading() as unit:
        return _Search(unit, text).run()


def in_order_of_keys(items: Select[Any]) -> Select[Any]:
    """Return the query for items of one pipeline in order of their keys, read by the index of these.

    By statistics of few rows, which it draws at random, MariaDB may prefer to read the whole table.
    """
    return by_index(items.order_by(_I.c.key), _I, "item_pipeline_id_key_key")


class _Search:
    """One search. An item is listed once, where it fits best."""

    def __init__(self, unit: "Unit", text: str) -> None:
        self.unit, self.text = unit, text
        rows = unit.execute(select(_P.c.id, _P.c.name).order_by(_P.c.name)).fetchall()
        self.names = {row.id: row.name for row in rows}
        self.seen: set[int] = set()
        self.is_cut = False

    def run(self) -> Found:
        is_glob = selections.is_glob(self.text)
        exact = self._in_pipelines(_I.c.key == self.text)
        prefix = self.text
        if is_glob:
            prefix = self.text[: min(self.text.find(one) for one in "*?[" if one in self.text)]
        begins = self._beginning(prefix, globs(_I.c.key, self.text) if is_glob else None)
        holds = [] if is_glob and prefix else self._holding(is_glob=is_glob)
        word = self.text.lower()
        return Found(
            exact=exact,
            begins=begins,
            holds=holds,
            pipelines=[name for name in self.names.values() if word in name.lower()][:SHOWN],
            is_cut=self.is_cut,
        )

    def _beginning(self, prefix: str, also: ColumnElement[bool] | None) -> list[FoundItem]:
        if not prefix:
            return []
        end = after_prefix(prefix)
        within = [_I.c.key >= prefix] + ([] if end is None else [_I.c.key < end])
        if also is None:
            return self._in_pipelines(*within)
        found: list[Any] = []
        for pipeline_id in self.names:
            # The first of those that begin so, so that a glob which fits none of them ends too.
            mine = in_order_of_keys(
                select(*_COLUMNS).where(_I.c.pipeline_id == pipeline_id, *within)
            )
            some = mine.limit(AMONG).subquery()
            fits = select(some).where(globs(some.c.key, self.text)).order_by(some.c.key)
            found += self.unit.execute(fits.limit(SHOWN + 1)).fetchall()
            if len(found) > SHOWN:
                break
            self._note_more(mine.with_only_columns(_I.c.id))
        return self._items(found)

    def _in_pipelines(self, *conditions: ColumnElement[bool]) -> list[FoundItem]:
        found: list[Any] = []
        for pipeline_id in self.names:
            query = select(*_COLUMNS).where(_I.c.pipeline_id == pipeline_id, and_(*conditions))
            found += self.unit.execute(in_order_of_keys(query).limit(SHOWN + 1)).fetchall()
            if len(found) > SHOWN:
                break
        return self._items(found)

    def _holding(self, *, is_glob: bool) -> list[FoundItem]:
        newest = select(*_COLUMNS).where(_I.c.id >= 0).order_by(_I.c.id.desc()).limit(AMONG)
        some = newest.subquery()
        pattern = self.text if is_glob else f"*{self.text}*"
        fits = select(some).where(globs(some.c.key, pattern)).order_by(some.c.id.desc())
        rows = self.unit.execute(fits.limit(SHOWN + len(self.seen) + 1)).fetchall()
        self._note_more(select(_I.c.id).where(_I.c.id >= 0).order_by(_I.c.id.desc()))
        return self._items(rows)

    def _note_more(self, ids: Select[Any]) -> None:
        """Note whether these are more than were looked through; the index alone says so."""
        n = select(func.count()).select_from(ids.limit(AMONG + 1).subquery())
        self.is_cut = self.is_cut or int(self.unit.execute(n).scalar_one()) > AMONG

    def _items(self, rows: Sequence[Any]) -> list[FoundItem]:
        fresh = [row for row in rows if row.id not in self.seen]
        self.is_cut = self.is_cut or len(fresh) > SHOWN
        self.seen |= {row.id for row in fresh[:SHOWN]}
        return [
            FoundItem(
                pipeline=self.names[row.pipeline_id],
                item=row.key,
                state=ItemState(row.state).word,
            )
            for row in fresh[:SHOWN]
        ]
