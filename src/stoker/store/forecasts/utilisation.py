"""How busy the slots were since a moment, and how long another way of sharing out would have taken."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from stoker.model.simulate import split_by_count
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.ids import first_attempt_id
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

ITEMS = 200_000  # with more, splitting by equal count is not looked at
_SKEW_US = 600_000_000  # clocks of hosts and store differ by less

_A, _T, _W = tables.attempt, tables.task, tables.worker
_LEFT = func.coalesce(_A.c.publishing_us, _A.c.ended_us)  # its slots are free while it is published


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """What workers did since a moment. `share`: of their slots' time that attempts filled.

    `worked_s`: from the first start to the last end. `equal_split_s`: what the same attempts would
    have taken if each slot had been given the same number of items beforehand, as they came; None
    where there were too few items, or too many.
    """

    share: float
    worked_s: float
    slots: int
    equal_split_s: float | None


def busy_since(store: "Store", since_us: int, *, while_worked: bool = False) -> Busy | None:
    """Return how busy the slots were since then; None if no attempt has ended.

    With `while_worked` only from the first start to the last end, as for a service that waits for
    more.
    """
    with store.reading() as unit:
        totals = _by_item(unit, since_us)
        first_us, last_us, busy_s = _span(unit, since_us)
        begin_us, until_us = since_us, unit.now_us
        if while_worked and first_us is not None and last_us is not None:
            begin_us, until_us = first_us, last_us
        slots, slot_s = _capacity(unit, begin_us, until_us)
    if first_us is None or last_us is None or slot_s <= 0:
        return None
    equal = None
    if totals is not None and len(totals) >= 2 * slots > 2:
        equal = round(split_by_count(totals, slots), 3)
    return Busy(
        share=round(min(busy_s / slot_s, 1.0), 4),
        worked_s=round((last_us - first_us) / 1e6, 3),
        slots=slots,
        equal_split_s=equal,
    )


def now_us(store: "Store") -> int:
    """Return the time by the store's clock."""
    with store.reading() as unit:
        return unit.now_us


def _ended(since_us: int) -> Any:
    return and_(
        _A.c.id >= first_attempt_id(since_us - _SKEW_US),
        _A.c.claimed_us >= since_us,
        _A.c.started_us.is_not(None),
        _A.c.ended_us.is_not(None),
        _A.c.kind == 0,
    )


def _capacity(unit: Unit, since_us: int, until_us: int) -> tuple[int, float]:
    """Return how many slots there were at most, and the seconds that all of them were there."""
    there = or_(_W.c.ended_us.is_(None), _W.c.ended_us > since_us)
    rows = unit.execute(select(_W.c.slots, _W.c.started_us, _W.c.ended_us).where(there)).fetchall()
    spans = [
        (max(row.started_us, since_us), min(row.ended_us or until_us, until_us), row.slots)
        for row in rows
    ]
    steps = sorted(
        [(start, slots) for start, end, slots in spans if end > start]
        + [(end, -slots) for start, end, slots in spans if end > start]
    )
    now = most = 0
    for _, change in steps:
        now += change
        most = max(most, now)
    return most, sum(max(end - start, 0) * slots for start, end, slots in spans) / 1e6


def _span(unit: Unit, since_us: int) -> tuple[int | None, int | None, float]:
    """Return the first start, the last end, and the cpu seconds that attempts held."""
    query = (
        select(
            _T.c.step_id,
            func.min(_A.c.started_us),
            func.max(_A.c.ended_us),
            func.sum(_LEFT - _A.c.started_us),
        )
        .select_from(_A.join(_T, _T.c.id == _A.c.task_id))
        .where(_ended(since_us))
        .group_by(_T.c.step_id)
    )
    rows = unit.execute(query).fetchall()
    if not rows:
        return None, None, 0.0
    cpus = _cpus(unit)
    busy_us = sum(float(row[3]) * cpus[row[0]] for row in rows)
    return min(row[1] for row in rows), max(row[2] for row in rows), busy_us / 1e6


def _by_item(unit: Unit, since_us: int) -> list[float] | None:
    """Return the cpu seconds of each item, in the order in which they came; None if too many."""
    query = (
        select(_T.c.item_id, _T.c.step_id, func.sum(_LEFT - _A.c.started_us))
        .select_from(_A.join(_T, _T.c.id == _A.c.task_id))
        .where(_ended(since_us))
        .group_by(_T.c.item_id, _T.c.step_id)
        .order_by(_T.c.item_id)
        .limit(ITEMS + 1)
    )
    rows = unit.execute(query).fetchall()
    if len(rows) > ITEMS:
        return None
    cpus = _cpus(unit)
    found: dict[int, float] = {}
    for item, step, took_us in rows:
        found[item] = found.get(item, 0.0) + float(took_us) / 1e6 * cpus[step]
    return list(found.values())


def _cpus(unit: Unit) -> dict[int, int]:
    """Return how many cpus a task of each step holds; the catalog is asked once, not for each row."""
    return {
        step: 1 if entry.spec is None else entry.spec.cpus
        for step, entry in catalog(unit).steps.items()
    }
