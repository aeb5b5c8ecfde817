"""Who may publish where: a path belongs to the task that first published there (rule O)."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, insert, select, update

from stoker.errors import OutputConflict, StaleAttempt
from stoker.failpoints import hit
from stoker.model.states import TaskState
from stoker.model.task import AttemptId, TaskId
from stoker.store import tables
from stoker.store.ids import digest_of
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_P, _T = tables.publication, tables.task


@as_a_whole
def reserve(
    store: "Store", attempt: AttemptId, task_id: TaskId, paths: Mapping[str, bool]
) -> frozenset[str]:
    """The task owns these absolute paths; return those that it owned before.

    What lies at a path owned before is this task's own, of an earlier attempt or of one that died
    between publishing and recording, and may be replaced. Called before anything is published, and
    in the same transaction as the fence: StaleAttempt if the task has moved on, OutputConflict if a
    path is another task's, or nobody's and not to be taken; nothing is reserved then. `paths` maps
    to whether the task may take the path if it does not own it yet: nothing lies there, or the
    output says `overwrite`, which is about files that Stoker did not write, never another task's.
    """
    with store.writing() as unit:
        query = select(_T.c.state, _T.c.attempt).where(_T.c.id == task_id).with_for_update()
        row = unit.execute(query).one_or_none()
        if row is None or row.state != TaskState.RUNNING or row.attempt != attempt:
            raise StaleAttempt("the task was given to another attempt; this one publishes nothing")
        owned = set()
        for path in sorted(paths):
            owner = owner_of(unit, path)
            if owner is None and not paths[path]:
                raise OutputConflict(
                    f"`{path}` exists and Stoker did not write it; move it away, or set "
                    "`overwrite = true` on the output"
                )
            if owner is None:
                own(unit, path, task_id, attempt)
            elif owner == task_id:
                owned.add(path)
                unit.execute(update(_P).where(_at(path)).values(attempt=attempt))
            else:
                raise OutputConflict(
                    f"`{path}` was published by {_name(unit, owner)} and stays its own; "
                    "make the step's output path differ, for example by `{key}`"
                )
        hit("reserve.before_commit")
    return frozenset(owned)


def owner_of(unit: Unit, path: str) -> int | None:
    """Return the task to which the path belongs, if it does to any."""
    found: int | None = unit.execute(select(_P.c.task_id).where(_at(path))).scalar_one_or_none()
    return found


def own(unit: Unit, path: str, task_id: int, attempt: bytes) -> None:
    """The path, which is nobody's, belongs to the task."""
    raw = os.fsencode(path)
    row = {"digest": digest_of(raw), "path": raw, "task_id": task_id, "attempt": attempt}
    unit.execute(insert(_P).values(**row))


def last_attempt_at(unit: Unit, path: str) -> bytes | None:
    """Return the attempt that last reserved the path."""
    found: bytes | None = unit.execute(select(_P.c.attempt).where(_at(path))).scalar_one_or_none()
    return found


def _at(path: str) -> ColumnElement[bool]:
    return _P.c.digest == digest_of(os.fsencode(path))


def _name(unit: Unit, task_id: int) -> str:
    item, step = tables.item, tables.step
    row = unit.execute(
        select(item.c.key, step.c.name)
        .select_from(_T.join(item, item.c.id == _T.c.item_id).join(step, step.c.id == _T.c.step_id))
        .where(_T.c.id == task_id)
    ).one_or_none()
    return f"step `{row.name}` of `{row.key}`" if row else "an item that was pruned since"
