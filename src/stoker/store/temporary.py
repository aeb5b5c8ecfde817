"""Temporary outputs: published for the steps that follow, and deleted when the last has used them."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from stoker.model.states import TaskState
from stoker.model.task import Result
from stoker.store import tables
from stoker.store.locks import lock_tasks_of
from stoker.store.steps import Catalog
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_X, _T, _E = tables.temporary, tables.task, tables.edge
_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)


def note(unit: Unit, ended: Sequence[tuple[Any, Result]], known: Catalog) -> None:
    """The temporary outputs among these results are known, in place of the task's earlier ones.

    Part of the transaction that records the results; each comes with its task's row, which begins
    with the ids of task, attempt and step.
    """
    for row, result in ended:
        spec = known.steps[row[2]].spec
        names = {output.name for output in spec.outputs if output.temp} if spec else set()
        rows = [
            {
                "attempt": result.attempt,
                "name": one.name,
                "position": position,
                "task_id": row[0],
                "path": os.fsencode(one.path),
            }
            for position, one in enumerate(result.outputs)
            if one.name in names
        ]
        if rows:
            unit.execute(delete(_X).where(_X.c.task_id == row[0]))
            unit.execute(insert(_X), rows)


@as_a_whole
def expire(store: "Store", remove: Callable[[str], None], *, most: int = 100) -> int:
    """Outputs that nothing needs any more are deleted by `remove`; return how many, up to `most`.

    `remove` deletes a file or folder, and finds nothing wrong with its being gone. It is called
    inside the transaction, so that no step can be set back meanwhile and then miss its input; after
    a crash the next call deletes again.
    """
    with store.reading() as unit:
        if unit.execute(_expired().limit(1)).first() is None:
            return 0
    with store.writing() as unit:
        rows = unit.execute(_expired().limit(most)).fetchall()
        if unit.store.dialect.locks_rows:
            lock_tasks_of(unit, [row.item_id for row in rows])
            rows = unit.execute(_expired().where(_X.c.task_id.in_([r.task_id for r in rows])))
            rows = rows.fetchall()[:most]
        for row in rows:
            remove(os.fsdecode(row.path))
            unit.execute(
                update(_X)
                .where(
                    _X.c.attempt == row.attempt,
                    _X.c.name == row.name,
                    _X.c.position == row.position,
                )
                .values(removed_us=unit.now_us)
            )
    return len(rows)


def removed_steps(unit: Unit, item_id: int) -> set[int]:
    """Return the ids of the item's steps whose temporary outputs have been deleted."""
    query = select(_T.c.step_id).join(_X, _X.c.task_id == _T.c.id)
    found = unit.execute(query.where(_T.c.item_id == item_id, _X.c.removed_us.is_not(None)))
    return set(found.scalars())


def _expired() -> Any:
    """The outputs of done tasks that have successors, all of them done or skipped."""
    after = _T.alias("after")
    joined = _E.join(after, after.c.step_id == _E.c.successor_id)
    of_task = (_E.c.step_id == _T.c.step_id, after.c.item_id == _T.c.item_id)
    follows = select(after.c.id).select_from(joined).where(*of_task)
    open_ones = follows.where(after.c.state.not_in(_SATISFIED))
    return (
        select(_X.c.attempt, _X.c.name, _X.c.position, _X.c.path, _X.c.task_id, _T.c.item_id)
        .select_from(_X.join(_T, _T.c.id == _X.c.task_id))
        .where(
            _X.c.removed_us.is_(None),
            _T.c.attempt == _X.c.attempt,
            _T.c.state == TaskState.DONE.value,
            follows.exists(),
            ~open_ones.exists(),
        )
    )
