"""Locking what is going to change, before it is read.

Where writers run side by side, a verb locks its tasks first and reads them after: nobody changes
them then until its transaction ends. Tasks come before items, items before slots, and each kind in
the order of its ids, so that two verbs seldom wait for each other in a ring; where they do, the
database breaks one of them off, and it begins again.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from stoker.store import tables
from stoker.store.dialects.constructs import by_index
from stoker.store.unit import Prepared, Unit, param_list

_T, _I = tables.task, tables.item
OF_ITEM = "task_item_id_step_id_key"  # the index by which an item's tasks are found


def _locking(table: Any, column: Any, index: str) -> Prepared:
    found = select(table.c.id).where(column.in_(param_list("ids"))).order_by(table.c.id)
    return Prepared(by_index(found.with_for_update(), table, index))


_TASKS = _locking(_T, _T.c.id, "PRIMARY")
_TASKS_OF = _locking(_T, _T.c.item_id, OF_ITEM)
_ITEMS = _locking(_I, _I.c.id, "PRIMARY")


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
