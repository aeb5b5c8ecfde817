"""What follows a task that is done or skipped: its successors, near and far."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, select, update

from stoker.model import transitions
from stoker.model.rank import priority_of
from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.apply import Move, move
from stoker.store.dialects.constructs import by_index
from stoker.store.forecasts.estimates import book
from stoker.store.lanes import lane_of
from stoker.store.locks import OF_ITEM
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Prepared, Unit, param, param_list

_T = tables.task
_WAITING = Prepared(
    by_index(
        select(
            _T.c.id, _T.c.item_id, _T.c.step_id, _T.c.state, _T.c.waiting_on, _T.c.level, _T.c.okey,
            _T.c.host,
        )
        .where(_T.c.step_id == param("step"), _T.c.item_id.in_(param_list("items")))
        .order_by(_T.c.id)
        .with_for_update(),
        _T, OF_ITEM,
    )
)  # fmt: skip
_COUNT_DOWN = Prepared(
    update(_T)
    .where(_T.c.id == param("task_id_"), _T.c.waiting_on >= param("by"))
    .values(waiting_on=_T.c.waiting_on - param("by"))
)


class Of(NamedTuple):
    """What is needed of an item when a task of it becomes ready."""

    key: str
    generation: int
    size_bytes: int | None
    by_user: str


def satisfy(
    unit: Unit,
    known: Catalog,
    satisfied: Sequence[tuple[int, StepEntry]],
    keys: Mapping[int, Of],
) -> None:
    """Successors of `(item id, step)` wait for one predecessor less, and those at nought are ready.

    A held or cancelled successor counts down too, and keeps its state. `keys` has for each item what
    the journal and the order need.
    """
    move(unit, transitions.UNBLOCK, unblocked(unit, known, satisfied, keys))


def unblocked(
    unit: Unit,
    known: Catalog,
    satisfied: Sequence[tuple[int, StepEntry]],
    keys: Mapping[int, Of],
) -> list[Move]:
    """Count successors down; return the moves of those that wait for nothing any more."""
    due: dict[int, dict[int, int]] = {}  # by step, then by item
    for item_id, entry in satisfied:
        for successor in entry.successors:
            if known.steps[successor].is_foreign:
                continue  # its own site counts it down
            of_step = due.setdefault(successor, {})
            of_step[item_id] = of_step.get(item_id, 0) + 1
    if not due:
        return []
    counts, ready = [], []
    known_times = book(unit)
    for row, n in _waiting(unit, due):
        task_id, item_id, step_id, state, waiting_on, level, okey, host = row
        if waiting_on != n or state != TaskState.BLOCKED:
            counts.append({"task_id_": task_id, "by": min(n, waiting_on)})
        else:
            entry = known.steps[step_id]
            of = keys[item_id]
            columns = {
                "lane": lane_of(unit, entry, level, of.by_user, host),
                "okey": known_times.order_key(step_id, of.size_bytes, priority_of(okey)),
                "expected_ms": known_times.expected_ms(step_id, of.size_bytes),
                "waiting_on": 0,
                "reason": None,
            }
            ready.append(
                Move(
                    task_id, state, entry.pipeline, of.key, entry.name, of.generation,
                    columns=columns,
                )
            )  # fmt: skip
    unit.run_many(_COUNT_DOWN, counts)
    return ready


def _waiting(unit: Unit, due: Mapping[int, Mapping[int, int]]) -> Iterator[tuple[Any, int]]:
    """Yield the tasks of these steps and items, locked, with how many predecessors each got."""
    for step_id in sorted(due):
        of_step = due[step_id]
        for row in unit.run(_WAITING, step=step_id, items=sorted(of_step)).fetchall():
            yield row, of_step[row[1]]


def pass_over(
    unit: Unit, known: Catalog, stopped: Sequence[tuple[int, str, int, StepEntry]]
) -> None:
    """Everything of these items that has not begun and follows the step is skipped."""
    for item_id, key, generation, entry in stopped:
        after = [step for step in followers(known, entry) if not known.steps[step].is_foreign]
        if not after:
            continue
        rows = unit.execute(
            select(_T.c.id, _T.c.step_id, _T.c.state)
            .where(and_(_T.c.item_id == item_id, _T.c.step_id.in_(after)))
            .order_by(_T.c.id)
            .with_for_update()
        ).fetchall()
        moves = [
            Move(row.id, row.state, entry.pipeline, key, known.steps[row.step_id].name, generation)
            for row in rows
            if TaskState(row.state) in transitions.PASS_OVER.sources
        ]
        move(unit, transitions.PASS_OVER, moves)


def followers(known: Catalog, entry: StepEntry) -> list[int]:
    """Ids of all steps that come after this one, near and far, in the pipeline's order."""
    found: set[int] = set()
    todo = list(entry.successors)
    while todo:
        step = todo.pop()
        if step not in found:
            found.add(step)
            todo += known.steps[step].successors
    return sorted(found, key=lambda step: known.steps[step].position)
