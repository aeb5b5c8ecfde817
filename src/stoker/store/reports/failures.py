"""Failed tasks, grouped by step and cause."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, select

from stoker.model.advice import advice
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.dialects.constructs import by_index
from stoker.store.paging import Listed, pages
from stoker.store.picking import pick_tasks
from stoker.store.selection import CAUSE
from stoker.store.story_rows import FailureRow
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _P, _S, _A = tables.task, tables.item, tables.pipeline, tables.step, tables.attempt
_F = tables.error_folder
EXAMPLES = 3
_ERROR_FOLDER = (
    select(_F.c.path)
    .where(_F.c.attempt == _T.c.attempt, _F.c.made_us.is_not(None))
    .scalar_subquery()
    .label("error_folder")
)


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
        remedies = _remedies(unit)
    rows = [_row(key, found, remedies) for key, found in groups.items()]
    return sorted(rows, key=lambda row: (-row.n, row.pipeline, row.step or "", row.cause))


class _Group:
    """Failures with one cause."""

    __slots__ = ("error_folders", "examples", "first_us", "last_us", "n", "reason")

    def __init__(self, n: int = 0) -> None:
        self.n = n
        self.examples: list[str] = []
        self.error_folders: list[str] = []
        self.reason: str | None = None
        self.first_us: int | None = None
        self.last_us: int | None = None

    def spread(self, first_us: int | None, last_us: int | None) -> None:
        """Take in when some of them failed."""
        for at_us in (first_us, last_us):
            if at_us is not None:
                self.first_us = min(at_us, self.first_us or at_us)
                self.last_us = max(at_us, self.last_us or at_us)

    def show(self, row: Any) -> None:
        """Take a task as an example."""
        self.examples.append(row.key)
        self.reason = self.reason or row.reason
        if row.error_folder is not None:
            self.error_folders.append(os.fsdecode(bytes(row.error_folder)))


_Key = tuple[str, str, str]


def _grouped(store: "Store", selection: Selection) -> dict[_Key, _Group]:
    """Count in the database, and rank the tasks of each cause: the first are examples."""
    groups: dict[_Key, _Group] = {}
    with store.reading() as unit:
        for row in unit.execute(_counted(selection)):
            group = groups.setdefault((row.pipeline, row.step, row.cause), _Group(row.n))
            group.spread(row.first_us, row.last_us)
        for row in unit.execute(_ranked(selection)):
            groups.setdefault((row.pipeline, row.step, row.cause), _Group(1)).show(row)
    return groups


def _failed(selection: Selection, *columns: Any) -> Select[Any]:
    """Return the query for the failed tasks of the selection.

    Those of a pipeline are those of its steps: by its items, a database would read all of these.
    """
    steps = select(_S.c.id)
    if selection.pipeline is not None:
        steps = steps.join(_P, _P.c.id == _S.c.pipeline_id).where(_P.c.name == selection.pipeline)
        selection = replace(selection, pipeline=None)
    of_steps = selections.task_query(selection, *columns).where(_T.c.step_id.in_(steps))
    return by_index(of_steps, _T, "task_state")  # the index is by step and state


def _counted(selection: Selection) -> Select[Any]:
    """One pass over the failed tasks, however many causes and however many other tasks there are."""
    of = _failed(
        selection,
        _T.c.step_id,
        CAUSE.label("cause"),
        func.count().label("n"),
        func.min(_A.c.ended_us).label("first_us"),
        func.max(_A.c.ended_us).label("last_us"),
    )
    some = of.group_by(_T.c.step_id, CAUSE).subquery()
    return (
        select(_P.c.name.label("pipeline"), _S.c.name.label("step"), some)
        .join(_S, _S.c.id == some.c.step_id)
        .join(_P, _P.c.id == _S.c.pipeline_id)
    )


def _ranked(selection: Selection) -> Select[Any]:
    """Another pass over them, for the first few of each cause.

    Not by one statement with the counts: MariaDB computes each aggregate over a window on its own.
    """
    place = func.row_number().over(partition_by=(_T.c.step_id, CAUSE), order_by=_T.c.id)
    of = _failed(selection, _T.c.id, CAUSE.label("cause"), place.label("place")).subquery()
    query = (
        select(_P.c.name.label("pipeline"), _S.c.name.label("step"), of.c.cause, _I.c.key,
               _A.c.reason, _ERROR_FOLDER)
        .select_from(
            of.join(_T, _T.c.id == of.c.id).join(_I, _I.c.id == _T.c.item_id)
            .join(_S, _S.c.id == _T.c.step_id).join(_P, _P.c.id == _S.c.pipeline_id)
            .outerjoin(_A, _A.c.id == _T.c.attempt)
        )
        .where(of.c.place <= EXAMPLES)
        .order_by(of.c.id)
    )  # fmt: skip
    return by_index(query, _T, "PRIMARY")


def _filtered(store: "Store", selection: Selection) -> dict[_Key, _Group]:
    """Count here, where a condition has to be looked at task by task."""
    where = selections.where_filter(selection)
    with store.reading() as unit:
        picked = pick_tasks(unit, selection)
    query = selections.task_query(
        picked.rest, _T.c.id, _T.c.state, _I.c.key, _I.c.params, _I.c.meta, _I.c.size_bytes,
        _T.c.item_id, _A.c.reason, _P.c.name.label("pipeline"), _S.c.name.label("step"),
        CAUSE.label("cause"), _ERROR_FOLDER, _A.c.ended_us,
    )  # fmt: skip
    groups: dict[_Key, _Group] = {}
    for rows in pages(store, Listed(query, _T.c.id, where, pick=picked.pick)):
        for row in rows:
            group = groups.setdefault((row.pipeline, row.step, row.cause), _Group())
            group.n += 1
            group.spread(row.ended_us, row.ended_us)
            if len(group.examples) < EXAMPLES:
                group.show(row)
    return groups


def _remedies(unit: Unit) -> dict[_Key, str]:
    """Return what to do about each known failure, by pipeline, step and what is said of it."""
    return {
        (entry.pipeline, entry.name, cause.say): cause.do
        for entry in catalog(unit).steps.values()
        if entry.spec is not None
        for cause in entry.spec.causes
    }


def _row(key: _Key, group: _Group, remedies: dict[_Key, str]) -> FailureRow:
    pipeline, step, cause = key
    return FailureRow(
        pipeline=pipeline,
        step=step,
        cause=cause,
        n=group.n,
        say=cause if key in remedies else None,
        do=remedies[key] or None if key in remedies else advice(cause, group.reason),
        reason=group.reason,
        examples=tuple(group.examples),
        error_folders=tuple(group.error_folders),
        first_at=moment(group.first_us),
        last_at=moment(group.last_us),
    )
