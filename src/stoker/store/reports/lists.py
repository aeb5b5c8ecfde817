"""Lists for people and programs. Nothing here changes anything but the journal's fold.

They are read in pages: a listing of millions needs the memory of one page.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func

from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.forecasts.freshness import catch_up
from stoker.store.groups.summaries import groups_of_items, last_volumes
from stoker.store.paging import Listed, page, pages
from stoker.store.picking import pick_items, pick_tasks
from stoker.store.reports.places import Place
from stoker.store.rows import ItemRow, Page, Rows, TaskRow
from stoker.store.times import moment

if TYPE_CHECKING:
    from stoker.model.estimate import Fit
    from stoker.store.unit import Store

_T, _I, _P, _S, _A, _W = (
    tables.task, tables.item, tables.pipeline, tables.step, tables.attempt, tables.worker,
)  # fmt: skip
FOLD_LIMIT_S = 10.0


def items(store: "Store", selection: Selection) -> Iterator[ItemRow]:
    """Yield the selected items in the order in which they were registered."""
    for rows in pages(store, _items(store, selection)):
        yield from item_rows(store, rows)


def page_of_items(
    store: "Store", selection: Selection, *, after: str | None, limit: int
) -> Page[ItemRow]:
    """Return the selected items behind the page whose `next` is `after`, in the same order."""
    place = Place("items", selection, after=after, limit=limit)
    listed = _items(store, selection, is_page=True)
    rows, last = page(store, listed, after=place.id, limit=limit)
    return Page(rows=Rows(item_rows(store, rows)), next=place.next(last))


def item_rows(store: "Store", rows: Sequence[Any]) -> list[ItemRow]:
    """Return items from rows with their ids, the groups among them with what they are made of."""
    ids = [row.item_id for row in rows]
    with store.reading() as unit:
        groups, volumes = groups_of_items(unit, ids), last_volumes(unit, ids)
    return [item_row(row, groups.get(row.item_id), volumes.get(row.item_id)) for row in rows]


def _items(store: "Store", selection: Selection, *, is_page: bool = False) -> Listed:
    catch_up(store, fold_s=FOLD_LIMIT_S)
    with store.reading() as unit:
        selections.check(unit, selection)
        picked = pick_items(unit, selection)
    where = selections.where_filter(selection)
    named = (_I.c.id.label("item_id"), _P.c.name.label("pipeline"))
    query = selections.item_query(picked.rest, *named, *_ITEM, is_page=is_page)
    sifts = not selection.is_everything
    return Listed(query, _I.c.id, where, kind=ItemState, pick=picked.pick, sifts=sifts)


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
    listed, fits = _tasks(store, selections.in_every_state(selection))
    rows, last = page(store, listed, after=place.id, limit=limit)
    return Page(rows=Rows(task_row(row, fits) for row in rows), next=place.next(last))


def _tasks(store: "Store", selection: Selection) -> tuple[Listed, Mapping[int, "Fit"]]:
    from stoker.store.forecasts import estimates

    with store.reading() as unit:
        selections.check(unit, selection)
        picked = pick_tasks(unit, selection)
        fits = estimates.fits(unit)
    where = selections.where_filter(selection)
    query = selections.task_query(picked.rest, *TASK)
    sifts = not selection.is_everything
    return Listed(query, _T.c.id, where, pick=picked.pick, sifts=sifts), fits


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


def item_row(
    row: Any, group: Mapping[str, int] | None = None, volume: str | None = None
) -> ItemRow:
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
        group=group,
        volume=volume,
    )


def item_columns() -> tuple[Any, ...]:
    """Return the columns that `item_row` reads, beside the pipeline's name."""
    return _ITEM


def task_row(row: Any, fits: Mapping[int, "Fit"]) -> TaskRow:
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


def _expected_s(row: Any, found: "Fit | None") -> float | None:
    """What the task's order was computed with; else the estimate of now, where there is one."""
    if row.expected_ms is not None:
        return float(row.expected_ms) / 1000
    return None if found is None else round(found.seconds(row.size_bytes), 3)
