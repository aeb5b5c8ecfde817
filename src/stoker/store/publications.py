"""Who may publish where: a path belongs to the task that first published there (rule O)."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from stoker.errors import OutputConflict, StaleAttempt
from stoker.model.states import TaskState
from stoker.model.task import AttemptId, TaskId
from stoker.store import tables
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.connect import Store

_P, _T = tables.publication, tables.task


def reserve(
    store: "Store", attempt: AttemptId, task_id: TaskId, paths: Mapping[str, bool]
) -> frozenset[str]:
    """The task owns these absolute paths; return those that it owned before.

    What lies at a path owned before is this task's own, of an earlier attempt or of one that died
    between publishing and recording, and may be replaced. Called before anything is published, and
    in the same transaction as the fence: StaleAttempt if the task has moved on, OutputConflict if a
    path is another task's; nothing is reserved then. `paths` maps to whether `overwrite` is set,
    which is about files that Stoker did not write and never about another task's.
    """
    with store.writing() as unit:
        row = unit.execute(select(_T.c.state, _T.c.attempt).where(_T.c.id == task_id)).one_or_none()
        if row is None or row.state != TaskState.RUNNING or row.attempt != attempt:
            raise StaleAttempt("the task was given to another attempt; this one publishes nothing")
        owned = set()
        for path in paths:
            owner = _owner(unit, path)
            if owner is None:
                unit.execute(
                    insert(_P).values(path=os.fsencode(path), task_id=task_id, attempt=attempt)
                )
            elif owner == task_id:
                owned.add(path)
                unit.execute(
                    update(_P).where(_P.c.path == os.fsencode(path)).values(attempt=attempt)
                )
            else:
                raise OutputConflict(
                    f"`{path}` was published by {_name(unit, owner)} and stays its own; "
                    "make the step's output path differ, for example by `{key}`"
                )
    return frozenset(owned)


def _owner(unit: Unit, path: str) -> int | None:
    query = select(_P.c.task_id).where(_P.c.path == os.fsencode(path))
    found: int | None = unit.execute(query).scalar_one_or_none()
    return found


def _name(unit: Unit, task_id: int) -> str:
    item, step = tables.item, tables.step
    row = unit.execute(
        select(item.c.key, step.c.name)
        .select_from(_T.join(item, item.c.id == _T.c.item_id).join(step, step.c.id == _T.c.step_id))
        .where(_T.c.id == task_id)
    ).one_or_none()
    return f"step `{row.name}` of `{row.key}`" if row else "an item that was pruned since"
