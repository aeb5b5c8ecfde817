"""Items whose files were repaired before their failed tasks are retried."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import exists, select

from stoker.model.item import NewItem
from stoker.model.saying import mark_of
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.arrivals.contents import note_content
from stoker.store.paging import Listed, pages
from stoker.store.picking import pick_tasks
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_I, _T = tables.item, tables.task


class Recorded(NamedTuple):
    """An item as the record has it."""

    id: int
    item: NewItem

    def now(self, *, size_bytes: int, mtime_us: int, content: str) -> "Recorded":
        """Return the item with the content that is there now."""
        fingerprint = content + self.item.mark
        return self._replace(
            item=replace(
                self.item, size_bytes=size_bytes, mtime_us=mtime_us, fingerprint=fingerprint
            )
        )


def failed_items(store: "Store", selection: Selection) -> Iterator[list[Recorded]]:
    """Yield in pages the items with a path that have a selected failed task, and nothing done."""
    chosen = replace(selection, states=(TaskState.FAILED.word,))
    with store.reading() as unit:
        selections.check(unit, chosen)
        picked = pick_tasks(unit, chosen)
    columns = (
        _T.c.id, _T.c.state, _I.c.id.label("item_id"), _I.c.key, _I.c.path, _I.c.params, _I.c.meta,
        _I.c.said, _I.c.fingerprint, _I.c.size_bytes, _I.c.mtime_us,
    )  # fmt: skip
    other = _T.alias()
    is_done = exists().where(other.c.item_id == _I.c.id, other.c.state == TaskState.DONE.value)
    query = selections.task_query(picked.rest, *columns).where(_I.c.path.is_not(None), ~is_done)
    where = selections.where_filter(chosen)
    for rows in pages(store, Listed(query, _T.c.id, where, pick=picked.pick)):
        yield list({row.item_id: _recorded(row) for row in rows}.values())


@as_a_whole
def take_repaired(store: "Store", items: Sequence[Recorded]) -> None:
    """The items have this content from now on; nothing is redone, as nothing of them was done."""
    with store.writing() as unit:
        for one in items:
            is_done = select(_T.c.id).where(
                _T.c.item_id == one.id, _T.c.state == TaskState.DONE.value
            )
            if unit.execute(is_done.limit(1)).first() is None:
                note_content(unit, one.item, one.id)


def _recorded(row: Any) -> Recorded:
    params, said = json.loads(row.params), json.loads(row.said or "{}")
    return Recorded(
        row.item_id,
        NewItem(
            key=row.key,
            path=os.fsdecode(row.path),
            params=params,
            meta=json.loads(row.meta),
            size_bytes=row.size_bytes,
            mtime_us=row.mtime_us,
            fingerprint=row.fingerprint,
            mark=mark_of(params, said),
            said=said,
        ),
    )
