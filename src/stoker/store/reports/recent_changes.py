"""What became of items lately, for those who keep a record of their own of it.

A reader remembers the place in the journal up to which it has reported everything. It is asked for
items, not for events: whatever happened to one meanwhile, its present state is reported.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, select

from stoker.model.states import ItemState, TaskState
from stoker.store import journal_fold, tables
from stoker.store.reports.attempts import last_of_tasks
from stoker.store.rows import AttemptRow

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit

_J, _I, _P, _S, _T = tables.journal, tables.item, tables.pipeline, tables.step, tables.task
ROWS = 1_000  # of the journal at once
_FOLD_LIMIT_S = 5.0


class Place(NamedTuple):
    """A place in the journal: all up to it has been reported."""

    epoch: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """How one step of an item stands; `attempt` is its last, or the one that runs."""

    step: str
    state: str
    reason: str | None
    attempt: AttemptRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemProgress:
    """How an item stands, its steps in order."""

    key: str
    state: str
    reason: str | None
    meta: Mapping[str, Any]
    steps: tuple[StepProgress, ...]


def touched_since(store: "Store", pipeline: str, place: Place) -> tuple[list[str], Place]:
    """Return the keys of items that something happened to after `place`, and the place that is next.

    At most the next thousand rows are looked at: call again until the place stays the same.
    """
    journal_fold.fold(store, limit_s=_FOLD_LIMIT_S)
    with store.reading() as unit:
        rows = _rows_after(unit, place)
        while not rows and place.epoch < store.epoch:
            place = Place(place.epoch + 1, 0)
            rows = _rows_after(unit, place)
    keys = {row.key: None for row in rows if row.pipeline == pipeline and row.key is not None}
    return list(keys), Place(place.epoch, rows[-1].seq) if rows else place


def _rows_after(unit: "Unit", place: Place) -> Sequence[Any]:
    query = (
        select(_J.c.seq, _J.c.pipeline, _J.c.key)
        .where(_J.c.origin == unit.store.site, _J.c.epoch == place.epoch, _J.c.seq > place.seq)
        .order_by(_J.c.seq)
        .limit(ROWS)
    )
    rows: Sequence[Any] = unit.execute(query).fetchall()
    return rows


def progress_of(store: "Store", pipeline: str, keys: Sequence[str]) -> list[ItemProgress]:
    """Return how those of these items stand that the store has."""
    with store.reading() as unit:
        items = unit.execute(
            select(_I.c.id, _I.c.key, _I.c.state, _I.c.reason, _I.c.meta)
            .join(_P, _P.c.id == _I.c.pipeline_id)
            .where(_P.c.name == pipeline, _I.c.key.in_(keys))
        ).fetchall()
        ids = [row.id for row in items]
        tasks = unit.execute(
            select(_T.c.item_id, _T.c.state, _T.c.reason, _S.c.name)
            .join(_S, _S.c.id == _T.c.step_id)
            .where(and_(_T.c.item_id.in_(ids), ~_S.c.is_removed))
            .order_by(_S.c.position)
        ).fetchall()
        attempts = {(one.item, one.step): one for one in last_of_tasks(unit, ids)}
    steps: dict[int, list[StepProgress]] = {}
    names = {row.id: row.key for row in items}
    for row in tasks:
        step = StepProgress(
            step=row.name,
            state=TaskState(row.state).word,
            reason=row.reason,
            attempt=attempts.get((names[row.item_id], row.name)),
        )
        steps.setdefault(row.item_id, []).append(step)
    return [
        ItemProgress(
            key=row.key,
            state=ItemState(row.state).word,
            reason=row.reason,
            meta=json.loads(row.meta),
            steps=tuple(steps.get(row.id, ())),
        )
        for row in items
    ]
