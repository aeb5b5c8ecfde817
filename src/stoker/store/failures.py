"""Failed tasks, grouped by step and cause."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func

from stoker.model.pipeline import Step
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.rows import FailureRow
from stoker.store.selection import CAUSE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.store.connect import Store

_T, _I, _P, _S, _A = tables.task, tables.item, tables.pipeline, tables.step, tables.attempt
EXAMPLES = 3


def failures(store: "Store", selection: Selection) -> list[FailureRow]:
    """Return the selected failed tasks by step and cause, most frequent first.

    The cause is what the worker made of the end: an entry of the step's `causes`, the line in
    STOKER_REASON, the marker, or the normalised last words of stderr.
    """
    chosen = replace(selection, states=(TaskState.FAILED.word,))
    with store.reading() as unit:
        selections.check(unit, chosen)
    groups = _grouped(store, chosen) if selection.where is None else _filtered(store, chosen)
    with store.reading() as unit:
        specs = {key: entry.spec for key, entry in catalog(unit).by_name.items()}
    rows = [
        _row(pipeline, step, cause, found, specs.get((pipeline, step)))
        for (pipeline, step, cause), found in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.n, row.pipeline, row.step, row.cause))


class _Group:
    """Failures with one cause."""

    __slots__ = ("examples", "n", "reason")

    def __init__(self, n: int = 0) -> None:
        self.n = n
        self.examples: list[str] = []
        self.reason: str | None = None


_Key = tuple[str, str, str]


def _grouped(store: "Store", selection: Selection) -> dict[_Key, _Group]:
    """Count in the database, then fetch a few examples of each group."""
    columns = (_P.c.name.label("pipeline"), _S.c.name.label("step"), CAUSE.label("cause"))
    query = selections.task_query(selection, *columns, func.count().label("n"))
    with store.reading() as unit:
        rows = unit.execute(query.group_by(*columns)).fetchall()
        groups = {(row.pipeline, row.step, row.cause): _Group(row.n) for row in rows}
        for (pipeline, step, cause), group in groups.items():
            examples = selections.task_query(selection, _I.c.key, _A.c.reason).where(
                _P.c.name == pipeline, _S.c.name == step, cause == CAUSE
            )
            for row in unit.execute(examples.order_by(_T.c.id).limit(EXAMPLES)):
                group.examples.append(row.key)
                group.reason = group.reason or row.reason
    return groups


def _filtered(store: "Store", selection: Selection) -> dict[_Key, _Group]:
    """Count here, where a condition has to be looked at task by task."""
    where = selections.where_filter(selection)
    query = selections.task_query(
        selection, _T.c.id, _T.c.state, _I.c.key, _I.c.params, _I.c.meta, _I.c.size_bytes,
        _T.c.item_id, _A.c.reason, _P.c.name.label("pipeline"), _S.c.name.label("step"),
        CAUSE.label("cause"),
    )  # fmt: skip
    groups: dict[_Key, _Group] = {}
    for rows in selections.pages(store, query, _T.c.id, where):
        for row in rows:
            group = groups.setdefault((row.pipeline, row.step, row.cause), _Group())
            group.n += 1
            if len(group.examples) < EXAMPLES:
                group.examples.append(row.key)
                group.reason = group.reason or row.reason
    return groups


def _row(pipeline: str, step: str, cause: str, group: _Group, spec: Step | None) -> FailureRow:
    known: Mapping[str, str] = {one.say: one.do for one in spec.causes} if spec else {}
    return FailureRow(
        pipeline=pipeline,
        step=step,
        cause=cause,
        n=group.n,
        say=cause if cause in known else None,
        do=known.get(cause) or None,
        reason=group.reason,
        examples=tuple(group.examples),
    )
