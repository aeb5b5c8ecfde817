"""Which items come first, changed by a person after they were registered."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from stoker.model.bounds import PRIORITY
from stoker.model.rank import PRIORITY_BITS
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.catalog import catalog
from stoker.store.ends.redo import COLUMNS, Changed
from stoker.store.journal import Entry, append, to_json
from stoker.store.locks import lock_items, lock_tasks_of
from stoker.store.paging import Listed, pages
from stoker.store.picking import pick_tasks
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.store.unit import Store

_T, _I = tables.task, tables.item
_OVER = (TaskState.DONE, TaskState.SKIPPED, TaskState.CANCELLED)


def set_priority(
    store: "Store", selection: Selection, actor: Actor, *, priority: int, dry_run: bool = False
) -> Changed:
    """The items of the selected tasks have this priority: all their tasks, also those to come.

    Counted are the selected tasks that are not over. An item has one priority, whichever of its tasks
    were selected. Page by page: cut short, the same call again does the rest.
    """
    PRIORITY.check("priority", priority)
    with store.reading() as unit:
        selections.check(unit, selection)
        picked = pick_tasks(unit, selection)
    query = selections.task_query(picked.rest, *COLUMNS, _I.c.priority)
    where = selections.where_filter(selection)
    done = Changed()
    for rows in pages(store, Listed(query, _T.c.id, where, pick=picked.pick)):
        if rows:
            done.add(_set_some(store, rows, actor, priority, dry_run=dry_run))
    return done


@as_a_whole
def _set_some(
    store: "Store", rows: "Sequence[Any]", actor: Actor, priority: int, *, dry_run: bool
) -> Changed:
    done = Changed()
    with store.writing(dry_run=dry_run) as unit:
        known = catalog(unit)
        items = {row.item_id for row in rows}
        lock_items(unit, items)
        lock_tasks_of(unit, items)
        query = selections.task_query(Selection(), *COLUMNS, _I.c.priority)
        ids = [row.id for row in rows]
        before: dict[int, Any] = {}
        for row in unit.execute(query.where(_T.c.id.in_(ids)).order_by(_T.c.id)).fetchall():
            if known.steps[row.step_id].is_foreign:
                done.leave_foreign()
            elif row.priority == priority or TaskState(row.state) in _OVER:
                done.leave(row.state)
            else:
                done.count("priority", row)
                before[row.item_id] = row
        by_old: dict[int, list[int]] = {}
        for item_id, row in before.items():
            by_old.setdefault(row.priority, []).append(item_id)
        for old, several in by_old.items():
            unit.execute(update(_I).where(_I.c.id.in_(several)).values(priority=priority))
            further = (old - priority) << PRIORITY_BITS
            unit.execute(
                update(_T).where(_T.c.item_id.in_(several)).values(okey=_T.c.okey + further)
            )
        data = to_json({"priority": priority, **actor.data()})
        append(
            unit,
            [
                Entry("priority", row.pipeline, row.key, generation=row.generation, data=data)
                for row in before.values()
            ],
        )
    return done
