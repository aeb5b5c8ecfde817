"""Items that came over HTTP and are over: which are due to be removed, and what they published."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from stoker.model.id_types import HERE
from stoker.model.selection import Selection
from stoker.model.states import ItemState
from stoker.model.task import Content
from stoker.store import submission_tables, tables
from stoker.store.holdings.publications import parts_of
from stoker.store.journal_fold import fold
from stoker.store.retention import forget
from stoker.store.retention.counts import Pruned

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit

_I, _T, _A, _P = tables.item, tables.task, tables.attempt, tables.pipeline
_PUB, _SUB = tables.publication, submission_tables.submission
_OVER = (ItemState.DONE, ItemState.FAILED, ItemState.CANCELLED)
_FOLD_S = 5.0
PAGE = 500


def due(store: "Store", pipeline: str, keep_s: float) -> Iterator[list[str]]:
    """Yield keys of items that have been over for so long, a page at a time.

    By the end of their last attempt, or their registration where there was none.
    """
    after = -1
    while True:
        with store.reading() as unit:
            before_us = unit.now_us - int(keep_s * 1e6)
            rows = unit.execute(_page(pipeline, before_us, after)).fetchall()
            ends = _last_ends(unit, [row.id for row in rows])
        if not rows:
            return
        found = [row.key for row in rows if ends.get(row.id, 0) < before_us]
        if found:
            yield found
        after = rows[-1].id


def _page(pipeline: str, before_us: int, after: int) -> Any:
    return (
        select(_I.c.id, _I.c.key)
        .select_from(_SUB.join(_I, _I.c.id == _SUB.c.item_id).join(_P, _P.c.id == _I.c.pipeline_id))
        .where(
            _P.c.name == pipeline,
            _I.c.state.in_([state.value for state in _OVER]),
            _I.c.registered_us < before_us,
            _I.c.id > after,
        )
        .order_by(_I.c.id)
        .limit(PAGE)
    )


def _last_ends(unit: "Unit", ids: Sequence[int]) -> dict[int, int]:
    if not ids:
        return {}
    query = select(_T.c.item_id, func.max(_A.c.ended_us)).join(_A, _A.c.task_id == _T.c.id)
    rows = unit.execute(query.where(_T.c.item_id.in_(ids)).group_by(_T.c.item_id)).fetchall()
    return {row[0]: int(row[1] or 0) for row in rows}


def published(store: "Store", pipeline: str, key: str) -> list[tuple[str, Content]]:
    """Return what the item's tasks own at this place: each path, and what was published there."""
    query = (
        select(_PUB.c.path, _PUB.c.size_bytes, _PUB.c.checksum)
        .select_from(
            _PUB.join(_T, _T.c.id == _PUB.c.task_id)
            .join(_I, _I.c.id == _T.c.item_id)
            .join(_P, _P.c.id == _I.c.pipeline_id)
        )
        .where(_P.c.name == pipeline, _I.c.key == key, _PUB.c.place == HERE)
    )
    with store.reading() as unit:
        return [
            (
                os.fsdecode(row.path),
                Content(
                    size_bytes=row.size_bytes,
                    checksum=row.checksum,
                    parts=parts_of(unit, bytes(row.path), row.checksum),
                ),
            )
            for row in unit.execute(query).fetchall()
        ]


def forget_item(store: "Store", pipeline: str, key: str) -> bool:
    """The item is forgotten with all that is kept of it; return whether it was over, and so is gone."""
    fold(store, limit_s=_FOLD_S)
    with store.reading() as unit:
        now_us = unit.now_us
    done = Pruned()
    ages = {state.word: now_us + 1 for state in _OVER}
    chosen = Selection(keys=(key,), pipeline=pipeline)
    for _ in forget.items(store, ages, done, selection=chosen, dry_run=False):
        pass
    return done.items > 0
