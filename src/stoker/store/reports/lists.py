"""Counts and lists for people and programs. Nothing here changes anything but the journal's fold.

Counts come from the tallies, which the fold keeps, so that they cost the same with a million tasks
as with ten. Lists are read in pages: a listing of millions needs the memory of one page.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, select

from stoker.model.estimate import Fit
from stoker.model.forecast import Forecast
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState, WorkerState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.arrivals.sources import source_rows
from stoker.store.forecasts import estimates, open_work
from stoker.store.forecasts.freshness import catch_up
from stoker.store.holdings.pools import pool_counts
from stoker.store.paging import Listed, page, pages
from stoker.store.picking import pick_items, pick_tasks
from stoker.store.reports.places import Place
from stoker.store.rows import ItemRow, Page, PipelineStatus, Rows, Status, TaskRow, WorkerRow
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _P, _S, _A, _W = (
    tables.task, tables.item, tables.pipeline, tables.step, tables.attempt, tables.worker,
)  # fmt: skip
FOLD_LIMIT_S = 10.0
LEARN_LIMIT_S = 0.05  # where no worker keeps up with what has ended; the next look goes on
_STILL = (TaskState.FAILED, TaskState.HELD, TaskState.CANCELLED)


def status(store: "Store", *, pipeline: str | None = None) -> Status:
    """Return how many items and tasks stand where, after folding what has happened since.

    A store that cannot be written just now tells what it was last told.
    """
    catch_up(store, fold_s=FOLD_LIMIT_S, learn_s=LEARN_LIMIT_S)
    with store.reading() as unit:
        if pipeline is not None:
            selections.check(unit, Selection(pipeline=pipeline))
        steps = _steps(unit)
        tallies = _tallies(unit)
        items = _item_tallies(unit)
        ends, _ = open_work.forecasts(unit, _left_to_do(steps, tallies, _ancestors(unit)))
        return Status(
            pipelines={
                name: _pipeline_status(of_steps, tallies, items.get(id_, {}), ends.get(name))
                for (name, id_), of_steps in steps.items()
                if pipeline in (None, name)
            },
            pools=pool_counts(unit),
            workers=tuple(_workers(unit, only_alive=True)),
            sources=tuple(source_rows(unit, pipeline)),
        )


def workers(store: "Store", *, everyone: bool = False) -> list[WorkerRow]:
    """Return the workers that are alive, or with `everyone` all that ever were; oldest first."""
    with store.reading() as unit:
        return list(_workers(unit, only_alive=not everyone))


def items(store: "Store", selection: Selection) -> Iterator[ItemRow]:
    """Yield the selected items in the order in which they were registered."""
    for rows in pages(store, _items(store, selection)):
        yield from map(item_row, rows)


def page_of_items(
    store: "Store", selection: Selection, *, after: str | None, limit: int
) -> Page[ItemRow]:
    """Return the selected items behind the page whose `next` is `after`, in the same order."""
    place = Place("items", selection, after=after, limit=limit)
    rows, last = page(store, _items(store, selection), after=place.id, limit=limit)
    return Page(rows=Rows(map(item_row, rows)), next=place.next(last))


def _items(store: "Store", selection: Selection) -> Listed:
    catch_up(store, fold_s=FOLD_LIMIT_S)
    with store.reading() as unit:
        selections.check(unit, selection)
        picked = pick_items(unit, selection)
    where = selections.where_filter(selection)
    named = (_I.c.id.label("item_id"), _P.c.name.label("pipeline"))
    query = selections.item_query(picked.rest, *named, *_ITEM)
    return Listed(query, _I.c.id, where, kind=ItemState, pick=picked.pick)


def tasks(store: "Store", selection: Selection) -> Iterator[TaskRow]:
    """Yield the selected tasks in the order in which they were made."""
    listed, fits = _tasks(store, selection)
    for rows in pages(store, listed):
        for row in rows:
            yield task_row(row, fits)


def page_of_tasks(
    store: "Store", selection: Selection, *, after: str | None, limit: int
) -> Page[TaskRow]:
    """Return the selected tasks behind the page whose `next` is `after`, in the same order."""
    place = Place("tasks", selection, after=after, limit=limit)
    listed, fits = _tasks(store, selection)
    rows, last = page(store, listed, after=place.id, limit=limit)
    return Page(rows=Rows(task_row(row, fits) for row in rows), next=place.next(last))


def _tasks(store: "Store", selection: Selection) -> tuple[Listed, Mapping[int, Fit]]:
    with store.reading() as unit:
        selections.check(unit, selection)
        picked = pick_tasks(unit, selection)
        fits = estimates.fits(unit)
    where = selections.where_filter(selection)
    query = selections.task_query(picked.rest, *TASK)
    return Listed(query, _T.c.id, where, pick=picked.pick), fits


_ITEM = (
    _I.c.key, _I.c.state, _I.c.path, _I.c.params, _I.c.meta, _I.c.size_bytes, _I.c.mtime_us,
    _I.c.priority, _I.c.by_user, _I.c.registered_us, _I.c.generation, _I.c.reason,
)  # fmt: skip
TASK = (
    _T.c.id, _T.c.state, _T.c.step_id, _T.c.number, _T.c.not_before_us, _T.c.expected_ms, _I.c.key,
    _T.c.cut_off,
    _I.c.priority, _I.c.params, _I.c.meta, _I.c.size_bytes, _P.c.name.label("pipeline"),
    _S.c.name.label("step"), _T.c.item_id,
    func.coalesce(
        _T.c.reason,
        case(
            (
                and_(
                    _A.c.state.not_in((AttemptState.RUNNING.value, AttemptState.SUCCEEDED.value)),
                    _T.c.state.not_in((TaskState.DONE.value, TaskState.RUNNING.value)),
                ),
                _A.c.reason,
            )
        ),
    ).label("reason"),
)  # fmt: skip


def item_row(row: Any) -> ItemRow:
    """Return an item from a row with the columns of `item` and its pipeline's name."""
    return ItemRow(
        pipeline=row.pipeline,
        item=row.key,
        state=ItemState(row.state).word,
        path=os.fsdecode(row.path) if row.path is not None else None,
        params=json.loads(row.params),
        meta=json.loads(row.meta),
        size_bytes=row.size_bytes,
        modified_at=moment(row.mtime_us),
        priority=row.priority,
        by=row.by_user,
        registered_at=moment(row.registered_us),
        generation=row.generation,
        reason=row.reason,
    )


def item_columns() -> tuple[Any, ...]:
    """Return the columns that `item_row` reads, beside the pipeline's name."""
    return _ITEM


def task_row(row: Any, fits: Mapping[int, Fit]) -> TaskRow:
    """Return a task from a row with the columns `TASK`."""
    return TaskRow(
        pipeline=row.pipeline,
        item=row.key,
        step=row.step,
        state=TaskState(row.state).word,
        attempts=row.number,
        expected_s=_expected_s(row, fits.get(row.step_id)),
        priority=row.priority,
        not_before=moment(row.not_before_us),
        reason=row.reason,
        cut_off=row.cut_off,
    )


def _expected_s(row: Any, found: Fit | None) -> float | None:
    """What the task's order was reckoned with; else what is reckoned now, where anything is known."""
    if row.expected_ms is not None:
        return float(row.expected_ms) / 1000
    return None if found is None else round(found.seconds(row.size_bytes), 3)


def _tallies(unit: Unit) -> dict[int, dict[tuple[int, int], int]]:
    """Return the counts of tasks by step, then by state and body."""
    found: dict[int, dict[tuple[int, int], int]] = {}
    for row in unit.execute(select(tables.tally)):
        found.setdefault(row.step_id, {})[row.state, row.body_id] = row.n
    return found


def _item_tallies(unit: Unit) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    for row in unit.execute(select(tables.item_tally)):
        found.setdefault(row.pipeline_id, {})[row.state] = row.n
    return found


def _steps(unit: Unit) -> dict[tuple[str, int], list[Any]]:
    """Return the steps of every pipeline, by its name and id, without reading what they do."""
    lane = tables.lane
    query = (
        select(_P.c.name.label("pipeline"), _P.c.id.label("pipeline_id"), _S, lane.c.cpus)
        .select_from(
            _P.outerjoin(_S, and_(_S.c.pipeline_id == _P.c.id, ~_S.c.is_removed)).outerjoin(
                lane,
                and_(lane.c.step_id == _S.c.id, lane.c.level == 0, lane.c.share.is_(None)),
            )
        )
        .order_by(_P.c.name, _S.c.position)
    )
    found: dict[tuple[str, int], list[Any]] = {}
    for row in unit.execute(query):
        of_pipeline = found.setdefault((row.pipeline, row.pipeline_id), [])
        if row.id is not None:
            of_pipeline.append(row)
    return found


def _pipeline_status(
    entries: Sequence[Any],
    tallies: Mapping[int, Mapping[tuple[int, int], int]],
    of_items: Mapping[int, int],
    ends: Forecast | None,
) -> PipelineStatus:
    steps = {entry.name: _by_state(tallies.get(entry.id, {})) for entry in entries}
    outdated = sum(
        n
        for entry in entries
        for (state, body), n in tallies.get(entry.id, {}).items()
        if state == TaskState.DONE and body != entry.body_id
    )
    return PipelineStatus(
        items={state.word: of_items.get(state.value, 0) for state in ItemState},
        tasks={word: sum(counts[word] for counts in steps.values()) for word in TaskState.words()},
        steps=steps,
        outdated=outdated,
        eta_s=round(ends.eta_s, 3) if ends else None,
        eta_interval_s=(round(ends.low_s, 3), round(ends.high_s, 3)) if ends else None,
    )


def _by_state(counts: Mapping[tuple[int, int], int]) -> dict[str, int]:
    found = dict.fromkeys(TaskState.words(), 0)
    for (state, _body), n in counts.items():
        found[TaskState(state).word] += n
    return found


def left_to_do(unit: Unit) -> dict[str, dict[int, int]]:
    """Return how many tasks of each step are going to run, by pipeline, as of the last fold."""
    return _left_to_do(_steps(unit), _tallies(unit), _ancestors(unit))


def _left_to_do(
    steps: Mapping[tuple[str, int], Sequence[Any]],
    tallies: Mapping[int, Mapping[tuple[int, int], int]],
    before: Mapping[int, set[int]],
) -> dict[str, dict[int, int]]:
    """Return how many tasks of each step are going to run, by pipeline.

    What is blocked behind something that stands still is not going to.
    """
    found: dict[str, dict[int, int]] = {}
    for (pipeline, _id), entries in steps.items():
        counts = {entry.id: _by_state(tallies.get(entry.id, {})) for entry in entries}
        still = {step: sum(n[state.word] for state in _STILL) for step, n in counts.items()}
        for step, n in counts.items():
            stuck = sum(still.get(one, 0) for one in before.get(step, ()))
            left = max(n["blocked"] - stuck, 0) + n["ready"] + n["running"]
            if left:
                found.setdefault(pipeline, {})[step] = left
    return found


def _ancestors(unit: Unit) -> dict[int, set[int]]:
    """Return for each step all that come before it, near and far."""
    edge = tables.edge
    near: dict[int, set[int]] = {}
    for row in unit.execute(select(edge)):
        near.setdefault(row.successor_id, set()).add(row.step_id)
    found: dict[int, set[int]] = {}

    def of(step: int) -> set[int]:
        if step not in found:
            found[step] = set()
            for one in near.get(step, ()):
                found[step] |= {one} | of(one)
        return found[step]

    for step in near:
        of(step)
    return found


def _workers(unit: Unit, *, only_alive: bool) -> Iterator[WorkerRow]:
    running = (
        select(_A.c.worker_id, func.count().label("n"))
        .where(_A.c.state == AttemptState.RUNNING.value)
        .group_by(_A.c.worker_id)
        .subquery()
    )
    query = (
        select(_W, func.coalesce(running.c.n, 0).label("running"))
        .select_from(_W.outerjoin(running, running.c.worker_id == _W.c.id))
        .order_by(_W.c.id)
    )
    if only_alive:
        query = query.where(_W.c.state == WorkerState.ALIVE.value)
    for row in unit.execute(query):
        yield WorkerRow(
            name=row.name,
            host=row.host,
            pid=row.pid,
            state=WorkerState(row.state).word,
            slots=row.slots,
            running=row.running,
            started_at=moment(row.started_us),
            lease_until=moment(row.lease_until_us),
            ended_at=moment(row.ended_us),
            trouble=row.trouble if row.state == WorkerState.ALIVE else None,
            batch_id=row.batch_id,
            ends_at=moment(row.ends_us),
        )
