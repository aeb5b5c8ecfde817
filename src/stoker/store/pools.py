"""Pools: bringing their slots to what the settings say, and showing who holds them.

A slot is a row. A slot that is no longer wanted is retired: whoever holds it keeps it to the end of
the attempt, and nobody gets it after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, delete, func, insert, or_, select, update

from stoker.model.settings import Pool
from stoker.store import tables
from stoker.store.moments import moment
from stoker.store.rows import PoolStatus, SlotRow
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.connect import Store

_SLOT, _A, _T, _I, _P, _S, _W = (
    tables.slot, tables.attempt, tables.task, tables.item, tables.pipeline, tables.step,
    tables.worker,
)  # fmt: skip

_COUNTS = or_(~_SLOT.c.is_retired, _SLOT.c.attempt.is_not(None))  # given out, or still held


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChange:
    """One pool whose slots changed: before, after, and how many are held to the end of attempts."""

    pool: str
    before: int
    after: int
    retired_but_held: int


@as_a_whole
def set_pools(store: "Store", pools: Sequence[Pool], *, dry_run: bool = False) -> list[PoolChange]:
    """The store's pools have exactly these slots to give out; return those that changed."""
    with store.reading() as unit:
        if not _wanted_differs(unit, pools):
            return []
    with store.writing(dry_run=dry_run, alone=True) as unit:
        wanted = {pool.name: set(pool.slots) for pool in pools}
        there: dict[str, dict[str, tuple[bool, bool]]] = {}
        for row in unit.execute(select(_SLOT)):
            state = (bool(row.is_retired), row.attempt is not None)
            there.setdefault(row.pool, {})[row.name] = state
        changes = [
            _set_pool(unit, name, wanted.get(name, set()), there.get(name, {}))
            for name in sorted(wanted.keys() | there.keys())
        ]
    return [change for change in changes if change is not None]


def _wanted_differs(unit: Unit, pools: Sequence[Pool]) -> bool:
    given_out = {
        (row.pool, row.name) for row in unit.execute(select(_SLOT).where(~_SLOT.c.is_retired))
    }
    return given_out != {(pool.name, slot) for pool in pools for slot in pool.slots}


def _set_pool(
    unit: Unit, pool: str, wanted: set[str], there: dict[str, tuple[bool, bool]]
) -> PoolChange | None:
    """Bring one pool's slots to `wanted`; `there` has for each slot: is it retired, is it held."""
    before = {name for name, (is_retired, _) in there.items() if not is_retired}
    if before == wanted:
        return None
    held = {name for name in there.keys() - wanted if there[name][1]}
    fresh = [
        {"pool": pool, "host": "", "name": n, "is_retired": False}
        for n in sorted(wanted - there.keys())
    ]
    if fresh:
        unit.execute(insert(_SLOT), fresh)
    for name in sorted((wanted & there.keys()) - before):
        unit.execute(update(_SLOT).where(_is(pool, name)).values(is_retired=False))
    for name in sorted(there.keys() - wanted):
        if name in held:
            unit.execute(update(_SLOT).where(_is(pool, name)).values(is_retired=True))
        else:
            unit.execute(delete(_SLOT).where(_is(pool, name)))
    return PoolChange(pool=pool, before=len(before), after=len(wanted), retired_but_held=len(held))


def _is(pool: str, name: str) -> Any:
    return and_(_SLOT.c.pool == pool, _SLOT.c.name == name)


def pool_counts(unit: Unit) -> dict[str, PoolStatus]:
    """Return for each pool how many slots it has, and how many of them are held."""
    query = (
        select(
            _SLOT.c.pool,
            func.sum(case((_SLOT.c.is_retired, 0), else_=1)),
            func.count(_SLOT.c.attempt),
        )
        .where(_COUNTS)
        .group_by(_SLOT.c.pool)
        .order_by(_SLOT.c.pool)
    )
    return {
        name: PoolStatus(slots=int(slots), used=int(used))
        for name, slots, used in unit.execute(query)
    }


def slots(store: "Store", *, pool: str | None = None) -> list[SlotRow]:
    """Return every slot with who holds it."""
    query = (
        select(
            _SLOT.c.pool, _SLOT.c.name, _I.c.key, _S.c.name.label("step"),
            _P.c.name.label("pipeline"), _W.c.name.label("worker"), _W.c.host, _A.c.claimed_us,
        )
        .select_from(
            _SLOT.outerjoin(_A, _A.c.id == _SLOT.c.attempt)
            .outerjoin(_T, _T.c.id == _A.c.task_id)
            .outerjoin(_I, _I.c.id == _T.c.item_id)
            .outerjoin(_S, _S.c.id == _T.c.step_id)
            .outerjoin(_P, _P.c.id == _I.c.pipeline_id)
            .outerjoin(_W, _W.c.id == _A.c.worker_id)
        )
        .where(_COUNTS)
        .order_by(_SLOT.c.pool, _SLOT.c.name)
    )  # fmt: skip
    if pool is not None:
        query = query.where(_SLOT.c.pool == pool)
    with store.reading() as unit:
        return [
            SlotRow(
                pool=row.pool,
                slot=row.name,
                pipeline=row.pipeline,
                item=row.key,
                step=row.step,
                worker=row.worker,
                host=row.host,
                since=moment(row.claimed_us),
            )
            for row in unit.execute(query)
        ]
