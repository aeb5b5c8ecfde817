"""The order of ready tasks follows what is learned, a little at a time.

What a claim goes by is written on the task, so that a claim stays one look into an index. Every few
seconds one of the store's processes learns what has ended, then goes on through the ready tasks and
rewrites what has changed by much. It takes about one per cent of that process's time, however
many tasks there are.
"""

import time
from operator import itemgetter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sqlalchemy import and_, select, update

from stoker.model.rank import order_key, priority_of, rank_of
from stoker.store import tables
from stoker.store.forecasts import activity
from stoker.store.forecasts.estimates import book, catch_up
from stoker.store.unit import Prepared, as_a_whole, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

UPKEEP_S = 2.5  # between two looks, by whichever process comes first
LEARN_S = 0.5  # the rest waits for the next look
REFRESH_S = 0.03  # of work on ready tasks at each look: about one per cent
BATCH = 250  # tasks in a transaction
_FIRST = (-(1 << 62), 0)  # an order key and an id before any task's
MATERIAL = 0.1  # a change of rank by less is not worth writing

_T, _I, _H = tables.task, tables.item, tables.head
_READY = Prepared(
    select(_T.c.okey, _T.c.id, _T.c.expected_ms, _I.c.size_bytes)
    .select_from(_T.join(_I, _I.c.id == _T.c.item_id))
    .where(
        _T.c.lane == param("lane"),
        _T.c.okey >= param("okey"),
        (_T.c.okey > param("okey")) | (_T.c.id > param("after")),
    )
    .order_by(_T.c.okey, _T.c.id)
    .limit(param("limit"))
)
_SET = Prepared(
    update(_T)
    .where(_T.c.id == param("task_id_"), _T.c.lane == param("lane_"))
    .values(okey=param("okey"), expected_ms=param("expected_ms"))
)

_places: "WeakKeyDictionary[Store, tuple[int, int, int]]" = WeakKeyDictionary()


def look_after(store: "Store", *, refresh_s: float = REFRESH_S, at_once: bool = False) -> None:
    """Estimates and the order of ready tasks follow what has ended; one process at a time does it.

    With `at_once` without regard to who did it when. The fold comes first: only numbered rows of
    the journal are read.
    """
    if not _is_our_turn(store, at_once=at_once):
        return
    catch_up(store, limit_s=LEARN_S)
    activity.catch_up(store, limit_s=LEARN_S)
    refresh(store, limit_s=refresh_s)


@as_a_whole
def _is_our_turn(store: "Store", *, at_once: bool) -> bool:
    with store.writing(durable=False) as unit:
        own = and_(_H.c.origin == store.site, _H.c.epoch == store.epoch)
        due_us = unit.now_us - int(UPKEEP_S * 1_000_000)
        is_due = own if at_once else and_(own, _H.c.upkeep_us <= due_us)
        return bool(unit.execute(update(_H).where(is_due).values(upkeep_us=unit.now_us)).rowcount)


def refresh(store: "Store", *, limit_s: float) -> None:
    """Ready tasks have the order computed now, from where the last call ended; in batches.

    Each call goes on until its time is over or it has been once through all. What runs is left
    alone; a task claimed meanwhile stays as it is.
    """
    until_s = time.monotonic() + limit_s
    with store.reading() as unit:
        table = tables.lane
        lanes = unit.execute(select(table.c.id, table.c.step_id).order_by(table.c.id)).fetchall()
    start = _places.get(store, (0, *_FIRST))
    order = [row for row in lanes if row[0] >= start[0]] + [x for x in lanes if x[0] < start[0]]
    for lane, step_id in order:
        last: tuple[int, int] | None = start[1:] if lane == start[0] else _FIRST
        while last is not None:
            last = _refresh_some(store, (lane, step_id), *last)
            if last is not None and time.monotonic() > until_s:
                _places[store] = (lane, *last)
                return
    _places.pop(store, None)


@as_a_whole
def _refresh_some(
    store: "Store", lane_and_step: tuple[int, int], okey: int, after: int
) -> tuple[int, int] | None:
    """Bring a batch of a lane's tasks up to date; return where it ended, None at the lane's end."""
    lane, step_id = lane_and_step
    with store.reading() as unit:
        rows = unit.run(_READY, lane=lane, okey=okey, after=after, limit=BATCH).fetchall()
        known = book(unit)
    if not rows:
        return None
    changes = []
    for key, task_id, expected_ms, size in rows:
        rank_s, was_s = known.ranks[step_id].at(size), rank_of(key)
        is_new = expected_ms is None and step_id in known.fits
        if is_new or abs(rank_s - was_s) > MATERIAL * max(rank_s, was_s):
            changes.append(
                {
                    "task_id_": task_id,
                    "lane_": lane,
                    "okey": order_key(priority_of(key), rank_s),
                    "expected_ms": known.expected_ms(step_id, size),
                }
            )
    if changes:
        with store.writing(durable=False) as unit:
            unit.run_many(_SET, sorted(changes, key=itemgetter("task_id_")))
    return (rows[-1][0], rows[-1][1]) if len(rows) == BATCH else None
