"""Outputs of done tasks that may be compared with their records, and those that were found missing.

What is missing is kept beside the state, never as one: a task whose output is missing is done. A
finding counts while its attempt is the one that the task carries, so that a rerun clears it.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, delete, insert, select

from stoker.model.id_types import HERE
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.paging import Listed, pages
from stoker.store.picking import pick_tasks
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _P, _S, _A = tables.task, tables.item, tables.pipeline, tables.step, tables.attempt
_O, _X, _M = tables.output, tables.temporary, tables.missing_output
KEYS = 500  # in a selection
_DONE = TaskState.DONE.word
_COLUMNS = (
    _T.c.id, _T.c.item_id, _T.c.state, _T.c.attempt, _I.c.key, _I.c.params, _I.c.meta,
    _I.c.size_bytes, _S.c.name.label("step"), _P.c.name.label("pipeline"),
)  # fmt: skip
Id = tuple[bytes, str, int]  # of an output: its attempt, its name, its position


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An output as it was recorded, of the attempt that its done task carries."""

    id: Id
    pipeline: str
    item: str
    step: str
    path: str
    size_bytes: int
    checksum: str


def recorded(store: "Store", selection: Selection) -> Iterator[list[Recorded]]:
    """Yield the outputs here of the selected tasks that are done, some at a time.

    Temporary ones that were deleted on purpose are left out.
    """
    if selection.states and _DONE not in selection.states:
        return
    chosen = replace(selection, states=(_DONE,))
    with store.reading() as unit:
        selections.check(unit, chosen)
        picked = pick_tasks(unit, chosen)
    where = selections.where_filter(chosen)
    query = selections.task_query(picked.rest, *_COLUMNS).where(_T.c.state == TaskState.DONE.value)
    for rows in pages(store, Listed(query, _T.c.id, where, pick=picked.pick)):
        with store.reading() as unit:
            found = _outputs(unit, rows)
        yield found


def _outputs(unit: Unit, rows: Sequence[Any]) -> list[Recorded]:
    of = {bytes(row.attempt): row for row in rows if row.attempt is not None}
    same = and_(
        _X.c.attempt == _O.c.attempt, _X.c.name == _O.c.name, _X.c.position == _O.c.position
    )
    query = (
        select(_O)
        .select_from(_O.outerjoin(_X, same))
        .where(_O.c.attempt.in_(list(of)), _O.c.place == HERE, _X.c.removed_us.is_(None))
        .order_by(_O.c.attempt, _O.c.name, _O.c.position)
    )
    return [
        Recorded(
            id=(bytes(row.attempt), row.name, row.position),
            pipeline=task.pipeline,
            item=task.key,
            step=task.step,
            path=os.fsdecode(row.path),
            size_bytes=row.size_bytes,
            checksum=row.checksum,
        )
        for row in unit.execute(query)
        for task in [of[bytes(row.attempt)]]
    ]


@as_a_whole
def note(store: "Store", looked_at: Collection[Id], missing: Collection[Id]) -> None:
    """Of the outputs that were looked at, those that are missing are known as such, and no others.

    One transaction, or none where nothing has changed.
    """
    attempts = sorted({attempt for attempt, _, _ in looked_at})
    mine = _M.c.attempt.in_(attempts)
    with store.reading() as unit:
        rows = unit.execute(select(_M).where(mine)).fetchall()
    if {(bytes(row.attempt), row.name, row.position) for row in rows} == set(missing):
        return
    with store.writing() as unit:
        unit.execute(delete(_M).where(mine))
        if missing:
            unit.execute(
                insert(_M),
                [
                    {"attempt": one[0], "name": one[1], "position": one[2], "found_us": unit.now_us}
                    for one in sorted(missing)
                ],
            )


def with_missing(store: "Store", selection: Selection) -> Iterator[Selection]:
    """Yield the selection narrowed to tasks of which an output is missing, some at a time."""
    query = (
        select(_P.c.name.label("pipeline"), _S.c.name.label("step"), _I.c.key)
        .select_from(
            _missing().join(_S, _S.c.id == _T.c.step_id).join(_P, _P.c.id == _I.c.pipeline_id)
        )
        .where(_is_current(), _S.c.is_removed.is_(False))
        .distinct()
        .order_by(_P.c.name, _S.c.name, _I.c.key)
    )
    with store.reading() as unit:
        selections.check(unit, selection)
        rows = unit.execute(query).fetchall()
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        is_of = selection.pipeline in (None, row.pipeline)
        is_step = not selection.steps or row.step in selection.steps
        is_named = not selection.literal or row.key in selection.literal
        if is_of and is_step and is_named:
            found.setdefault((row.pipeline, row.step), []).append(row.key)
    for (pipeline, step), keys in found.items():
        for at in range(0, len(keys), KEYS):
            some = tuple(keys[at : at + KEYS])
            yield replace(selection, pipeline=pipeline, steps=(step,), literal=some)


def _missing() -> Any:
    return (
        _M.join(_A, _A.c.id == _M.c.attempt)
        .join(_T, _T.c.id == _A.c.task_id)
        .join(_I, _I.c.id == _T.c.item_id)
    )


def _is_current() -> ColumnElement[bool]:
    return and_(_T.c.attempt == _M.c.attempt, _T.c.state == TaskState.DONE.value)
