"""Ends of attempts as the journal has them, for counters that begin at nought with their process."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.store import tables
from stoker.store.forecasts.freshness import catch_up
from stoker.store.journal import last_seq
from stoker.store.unit import Prepared, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

PAGE = 5_000
_J = tables.journal
_ROWS = Prepared(
    select(_J.c.seq, _J.c.pipeline, _J.c.step, _J.c.attempt, _J.c.data)
    .where(
        _J.c.origin == 1, _J.c.epoch == param("epoch"), _J.c.seq > param("after"),
    )
    .order_by(_J.c.seq)
    .limit(PAGE)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class End:
    """How one attempt ended, and how long it took; None where it had not begun."""

    pipeline: str
    step: str
    state: str
    duration_s: float | None


def newest(store: "Store") -> int:
    """Return the number of the newest event that has one."""
    catch_up(store, fold_s=1.0)
    with store.reading() as unit:
        return last_seq(unit)


def ends_after(store: "Store", after: int) -> Iterator[tuple[int, list[End]]]:
    """Yield the ends behind the event `after`, some at a time, each with the number read so far."""
    catch_up(store, fold_s=1.0)
    while True:
        with store.reading() as unit:
            rows = unit.run(_ROWS, epoch=store.epoch, after=after).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        ends = [_end(row[1], row[2], row[4]) for row in rows if row[3] is not None and row[4]]
        yield after, [end for end in ends if end is not None]
        if len(rows) < PAGE:
            return


def _end(pipeline: str, step: str, text: str) -> End | None:
    data = json.loads(text)
    if "ended_us" not in data or "state" not in data:
        return None
    began_us = data.get("started_us")
    duration_s = None if began_us is None else max(data["ended_us"] - began_us, 0) / 1e6
    return End(pipeline, step, data["state"], duration_s)
