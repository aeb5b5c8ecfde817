"""The tasks of new items: one for every step, in the order that is computed for them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, insert, literal, null, select

from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.forecasts import sql_curves
from stoker.store.forecasts.estimates import book
from stoker.store.journal import Entry
from stoker.store.lanes import lane_of
from stoker.store.steps import StepEntry
from stoker.store.unit import Prepared, Unit, param

_I, _T = tables.item, tables.task
_ORDER_STEP = literal(1 << 40, BigInteger())  # how far a priority is from the next in `okey`
_TASK_FIELDS = [
    "item_id", "step_id", "state", "lane", "okey", "expected_ms", "waiting_on", "generation",
    "number", "tries", "lost", "cut_off", "level",
]  # fmt: skip
_OKEY = -_I.c.priority * _ORDER_STEP - sql_curves.milliseconds(_I.c.size_bytes, "rank")


def _tasks(expected_ms: Any) -> Prepared:
    query = select(
        _I.c.id, param("step_id"), param("state"), param("lane"), _OKEY, expected_ms,
        param("waiting_on"), _I.c.generation, *(param("zero") for _ in range(5)),
    ).where(_I.c.id.between(param("first"), param("last")))  # fmt: skip
    return Prepared(insert(_T).from_select(_TASK_FIELDS, query))


_TASKS = _tasks(null())  # of a step of which nothing is known yet
_TASKS_EXPECTED = _tasks(sql_curves.milliseconds(_I.c.size_bytes, "own"))


def create_tasks(
    unit: Unit, pipeline: str, steps: Sequence[StepEntry], first: int, last: int, by_user: str
) -> list[Entry]:
    """The items from `first` to `last` have a task for each step; return the journal's rows."""
    entries = []
    known = book(unit)
    for step in steps:
        is_known = step.id in known.fits
        waiting_on = len(step.predecessors)
        of_task = TaskState.BLOCKED if waiting_on else TaskState.READY
        unit.run(
            _TASKS_EXPECTED if is_known else _TASKS,
            **sql_curves.numbers(known.ranks[step.id], "rank"),
            **(sql_curves.numbers(known.own[step.id], "own") if is_known else {}),
            step_id=step.id,
            state=of_task.value,
            lane=None if waiting_on else lane_of(unit, step, 0, by_user),
            waiting_on=waiting_on,
            zero=0,
            first=first,
            last=last,
        )
        n = last - first + 1
        entries.append(Entry("create_tasks", pipeline, step=step.name, to_state=of_task.value, n=n))
    return entries
