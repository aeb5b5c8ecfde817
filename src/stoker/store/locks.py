"""Locking what is going to change, before it is read.

Where writers run side by side, a verb locks its tasks first and reads them after: nobody changes
them then until its transaction ends. Tasks come before items, items before slots, and each kind in
the order of its ids, so that two verbs seldom wait for each other in a ring; where they do, the
database breaks one of them off, and it begins again.
"""

from collections.abc import Iterable

from sqlalchemy import select

from stoker.store import tables
from stoker.store.unit import Prepared, Unit, param_list

_T, _I = tables.task, tables.item
_TASKS = Prepared(
    select(_T.c.id).where(_T.c.id.in_(param_list("ids"))).order_by(_T.c.id).with_for_update()
)
_TASKS_OF = Prepared(
    select(_T.c.id).where(_T.c.item_id.in_(param_list("ids"))).order_by(_T.c.id).with_for_update()
)
_ITEMS = Prepared(
    select(_I.c.id).where(_I.c.id.in_(param_list("ids"))).order_by(_I.c.id).with_for_update()
)


def lock_tasks(unit: Unit, tasks: Iterable[int]) -> None:
    """Nobody else changes these tasks until the transaction ends."""
    _lock(unit, _TASKS, tasks)


def lock_tasks_of(unit: Unit, items: Iterable[int]) -> None:
    """Nobody else changes the tasks of these items until the transaction ends."""
    _lock(unit, _TASKS_OF, items)


def lock_items(unit: Unit, items: Iterable[int]) -> None:
    """Nobody else changes these items, or deletes them, until the transaction ends."""
    _lock(unit, _ITEMS, items)


def _lock(unit: Unit, statement: Prepared, ids: Iterable[int]) -> None:
    if unit.store.dialect.locks_rows and (listed := sorted(set(ids))):
        unit.run(statement, ids=listed).fetchall()
