"""Temporary outputs: published for the steps that follow, and deleted when the last has used them."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, select, update

from stoker.model.states import TaskState
from stoker.model.task import Content, Result
from stoker.store import tables
from stoker.store.holdings.publications import parts_of
from stoker.store.locks import lock_tasks_of
from stoker.store.steps import Catalog
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_X, _T, _E, _O, _U = (
    tables.temporary, tables.task, tables.edge, tables.output, tables.unsettled_step,
)  # fmt: skip

Remove = Callable[[], str | None]
Look = Callable[[str, Content], Remove]
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
                "name": name,
                "position": position,  # as in the table of outputs
                "task_id": row[0],
                "path": os.fsencode(path),
            }
            for name in names
            for position, path in enumerate(one.path for one in result.outputs if one.name == name)
        ]
        if rows:
            unit.execute(delete(_X).where(_X.c.task_id == row[0]))
            unit.execute(insert(_X), rows)


def expire(store: "Store", look: Look, *, most: int = 100) -> int:
    """Outputs that nothing needs any more are deleted; return how many, up to `most`.

    `look` gets path and content of each, and returns what deletes it: so much of it as is still that
    content. The first may take long; what it returns is called inside the transaction that records
    it, so that no step can be set back meanwhile and then miss its input. It returns a path that
    stays, if one does. After a crash the next call deletes again.
    """
    with store.reading() as unit:
        rows = unit.execute(_expired().limit(most)).fetchall()
        contents = [
            Content(
                size_bytes=row.size_bytes,
                checksum=row.checksum,
                parts=parts_of(unit, bytes(row.path), row.checksum),
            )
            for row in rows
        ]
    removers = {
        (row.attempt, row.name, row.position): look(os.fsdecode(row.path), content)
        for row, content in zip(rows, contents, strict=True)
    }
    return _record(store, removers, rows) if rows else 0


@as_a_whole
def _record(
    store: "Store", removers: Mapping[tuple[bytes, str, int], Remove], seen: Sequence[Any]
) -> int:
    """Those that still nothing needs are deleted."""
    with store.writing() as unit:
        lock_tasks_of(unit, [row.item_id for row in seen])
        query = _expired().where(_X.c.task_id.in_([row.task_id for row in seen]))
        count = 0
        for row in unit.execute(query).fetchall():
            remove = removers.get((row.attempt, row.name, row.position))
            if remove is None:
                continue
            count += 1
            kept = remove()
            of_row = and_(
                _X.c.attempt == row.attempt, _X.c.name == row.name, _X.c.position == row.position
            )
            values = {"removed_us": unit.now_us, "kept": os.fsencode(kept) if kept else None}
            unit.execute(update(_X).where(of_row).values(values))
    return count


def removed_steps(unit: Unit, item_id: int) -> set[int]:
    """Return the ids of the item's steps whose temporary outputs have been deleted."""
    query = select(_T.c.step_id).join(_X, _X.c.task_id == _T.c.id)
    found = unit.execute(query.where(_T.c.item_id == item_id, _X.c.removed_us.is_not(None)))
    return set(found.scalars())


def _expired() -> Any:
    """The outputs of done tasks that have successors, all of them done or skipped.

    Not those of a step that has a successor whose tasks may not be there yet.
    """
    after = _T.alias("after")
    joined = _E.join(after, after.c.step_id == _E.c.successor_id)
    of_task = (_E.c.step_id == _T.c.step_id, after.c.item_id == _T.c.item_id)
    follows = select(after.c.id).select_from(joined).where(*of_task)
    is_output = and_(
        _O.c.attempt == _X.c.attempt, _O.c.name == _X.c.name, _O.c.position == _X.c.position
    )
    open_ones = follows.where(after.c.state.not_in(_SATISFIED))
    return (
        select(
            _X.c.attempt,
            _X.c.name,
            _X.c.position,
            _X.c.path,
            _X.c.task_id,
            _T.c.item_id,
            _O.c.size_bytes,
            _O.c.checksum,
        )
        .select_from(_X.join(_T, _T.c.id == _X.c.task_id).join(_O, is_output))
        .where(
            _X.c.removed_us.is_(None),
            _T.c.attempt == _X.c.attempt,
            _T.c.state == TaskState.DONE.value,
            _T.c.step_id.not_in(select(_E.c.step_id).join(_U, _U.c.step_id == _E.c.successor_id)),
            follows.exists(),
            ~open_ones.exists(),
        )
    )
