"""Pools: bringing their slots to what the file or a person says, and showing who holds them.

A slot is a row, and so is a turn: the right to begin, of which a pool with a rate has as many as
may begin in a minute. A slot that is no longer wanted is retired: its holder keeps it to the
end of the attempt, and nobody gets it after.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from stoker.errors import NotFound, UserError
from stoker.model.lease_kind import LeaseKind
from stoker.model.pool import Pool, check_slot_count, check_slot_names
from stoker.model.sharing import Sharing
from stoker.model.states import WorkerState
from stoker.spec.problems import suggest
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.journal import Entry, append, to_json
from stoker.store.sharing import newest_sharing, set_sharing
from stoker.store.times import moment
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.status_rows import PoolStatus, SlotRow
    from stoker.store.unit import Store

_SLOT, _TURN, _A, _T, _I, _P, _S, _W = (
    tables.slot, tables.turn, tables.attempt, tables.task, tables.item, tables.pipeline,
    tables.step, tables.worker,
)  # fmt: skip

_COUNTS = or_(~_SLOT.c.is_retired, _SLOT.c.attempt.is_not(None))  # given out, or still held


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChange:
    """One pool that changed: its slots before and after, and how many are held to their ends.

    Of a pool per host, the slots of one host, but all that are held.
    """

    pool: str
    before: int
    after: int
    retired_but_held: int


@as_a_whole
def set_slots(
    store: "Store", name: str, slots: Sequence[str] | int, actor: Actor, *, dry_run: bool = False
) -> PoolChange | None:
    """The pool has these slots to give out, by name or number; None if it has them already.

    It holds until the file says something else of the pool. NotFound if there is no such pool.
    """
    with store.writing(dry_run=dry_run, alone=True) as unit:
        before = newest_sharing(unit)
        pool = before.declared.get(name)
        if pool is None:
            hint = suggest(name, before.declared) or "`[pools]` in `stoker.toml` declares them"
            raise NotFound(f"there is no pool `{name}`; {hint}")
        wanted = _names(pool, slots)
        by_hand = {other: them for other, them in before.by_hand.items() if other != name}
        if wanted != pool.slots:
            by_hand[name] = wanted
        after = replace(before, by_hand=by_hand)
        if after == before:
            return None
        data = to_json({"pool": name, "slots": list(wanted), **actor.data()})
        changes = bring_to(unit, before, after)
        append(unit, [Entry("set_pool", n=0, data=data)])
    return changes[0] if changes else None


def _names(pool: Pool, slots: Sequence[str] | int) -> tuple[str, ...]:
    """The names of a pool's slots where a person gives them, or only their number."""
    try:
        if isinstance(slots, int):
            check_slot_count(slots)
        else:
            check_slot_names(slots)
            return tuple(slots)
    except ValueError as error:
        raise UserError(f"pool `{pool.name}` cannot be set so: {error}") from None
    is_numbered = pool.slots == tuple(str(number) for number in range(len(pool.slots)))
    if slots <= len(pool.slots):
        return pool.slots[:slots]
    if not is_numbered:
        raise UserError(
            f"the slots of pool `{pool.name}` have names ({', '.join(pool.slots)}); name all that "
            f"it is to have, as in `stoker pool set {pool.name} {' '.join(pool.slots)} more`"
        )
    return tuple(str(number) for number in range(slots))


def bring_to(unit: Unit, before: Sharing, after: Sharing) -> list[PoolChange]:
    """From now on `after` counts, and slots and turns are as it says; return the pools that changed."""
    set_sharing(unit, after)
    unit.store.catalog = None
    is_here = _W.c.lease_kind == LeaseKind.HEARTBEAT.value
    alive = select(_W.c.host).where(_W.c.state == WorkerState.ALIVE.value, is_here).distinct()
    hosts = set(unit.execute(alive).scalars())
    _fit_slots(unit, after, hosts)
    _fit_turns(unit, after, hosts)
    query = select(_SLOT.c.pool, func.count()).where(_SLOT.c.is_retired)
    held = {name: int(n) for name, n in unit.execute(query.group_by(_SLOT.c.pool))}
    changes = []
    for name in sorted(before.declared.keys() | after.declared.keys()):
        was, is_now = before.pool(name), after.pool(name)
        if was != is_now:
            counts = [len(pool.slots) if pool is not None else 0 for pool in (was, is_now)]
            changes.append(
                PoolChange(
                    pool=name,
                    before=counts[0],
                    after=counts[1],
                    retired_but_held=held.get(name, 0),
                )
            )
    return changes


def fit_host(unit: Unit, host: str) -> None:
    """The host, on which a worker begins, has its slots of the pools that are per host.

    Part of the caller's transaction.
    """
    sharing = newest_sharing(unit)
    if any(pool.is_per_host for pool in sharing.declared.values()):
        _fit_slots(unit, sharing, {host}, only=host)
        _fit_turns(unit, sharing, {host}, only=host)


def _places(sharing: Sharing, hosts: Iterable[str]) -> dict[tuple[str, str], Pool]:
    """Return each pool where it has slots: everywhere (an empty text) or on each of the hosts."""
    return {
        (pool.name, host): pool
        for pool in sharing.pools().values()
        for host in (hosts if pool.is_per_host else ("",))
    }


def _fit_slots(unit: Unit, sharing: Sharing, hosts: set[str], *, only: str | None = None) -> None:
    """Bring the slots to what counts now; `only` those of one host."""
    wanted = {
        (pool, host, name)
        for (pool, host), of in _places(sharing, hosts).items()
        for name in of.slots
        if only in (None, host)
    }
    query = select(_SLOT.c.pool, _SLOT.c.host, _SLOT.c.name, _SLOT.c.is_retired, _SLOT.c.attempt)
    if only is not None:
        query = query.where(_SLOT.c.host == only)
    there = {tuple(row[:3]): row for row in unit.execute(query)}
    fresh = [
        {"pool": pool, "host": host, "name": name, "is_retired": False}
        for pool, host, name in sorted(wanted - there.keys())
    ]
    if fresh:
        unit.execute(insert(_SLOT), fresh)
    for slot, row in sorted(there.items()):
        is_it = and_(_SLOT.c.pool == slot[0], _SLOT.c.host == slot[1], _SLOT.c.name == slot[2])
        if slot in wanted:
            if row.is_retired:
                unit.execute(update(_SLOT).where(is_it).values(is_retired=False))
        elif row.attempt is None:
            unit.execute(delete(_SLOT).where(is_it))
        elif not row.is_retired:
            unit.execute(update(_SLOT).where(is_it).values(is_retired=True))


def _fit_turns(unit: Unit, sharing: Sharing, hosts: set[str], *, only: str | None = None) -> None:
    """Bring the turns to what counts now; of those taken last as many stay as are wanted."""
    wanted = {
        place: pool.per_minute or 0
        for place, pool in _places(sharing, hosts).items()
        if only in (None, place[1])
    }
    query = select(_TURN.c.pool, _TURN.c.host, _TURN.c.number)
    if only is not None:
        query = query.where(_TURN.c.host == only)
    there: dict[tuple[str, str], list[int]] = {}
    for pool, host, number in unit.execute(query.order_by(_TURN.c.free_us.desc())):
        there.setdefault((pool, host), []).append(number)
    fresh: list[Mapping[str, Any]] = []
    for (pool, host), n in wanted.items():
        numbers = there.get((pool, host), [])
        first = max(numbers, default=0) + 1
        fresh += [
            {"pool": pool, "host": host, "number": number, "free_us": 0}
            for number in range(first, first + n - len(numbers))
        ]
    if fresh:
        unit.execute(insert(_TURN), fresh)
    for (pool, host), numbers in there.items():
        gone = numbers[wanted.get((pool, host), 0) :]
        if gone:
            of = and_(_TURN.c.pool == pool, _TURN.c.host == host, _TURN.c.number.in_(gone))
            unit.execute(delete(_TURN).where(of))


def pool_counts(unit: Unit) -> dict[str, "PoolStatus"]:
    """Return for each pool how many slots it has, and how many of them are held.

    Of a host without a worker only what is still held.
    """
    from stoker.store.status_rows import PoolStatus

    alive = select(_W.c.host).where(_W.c.state == WorkerState.ALIVE.value)
    counts = and_(~_SLOT.c.is_retired, or_(_SLOT.c.host == "", _SLOT.c.host.in_(alive)))
    sharing = newest_sharing(unit)
    closed = sharing.closed(unit.now_us)
    there: dict[str, dict[str, list[int]]] = {name: {} for name in sharing.declared}
    for is_held, wanted in ((False, counts), (True, _SLOT.c.attempt.is_not(None))):
        query = select(_SLOT.c.pool, _SLOT.c.host, func.count()).where(wanted)
        for name, host, n in unit.execute(query.group_by(_SLOT.c.pool, _SLOT.c.host)):
            there.setdefault(name, {}).setdefault(host, [0, 0])[is_held] = int(n)
    return {
        name: PoolStatus(
            slots=sum(slots for slots, _ in hosts.values()),
            used=sum(used for _, used in hosts.values()),
            hosts={
                host: {"slots": slots, "used": used}
                for host, (slots, used) in sorted(hosts.items())
                if host
            },
            opens_at=moment(closed.get(name)),
        )
        for name, hosts in sorted(there.items())
    }


def slots(store: "Store", *, pool: str | None = None) -> list["SlotRow"]:
    """Return every slot with who holds it."""
    from stoker.store.status_rows import SlotRow

    query = (
        select(
            _SLOT.c.pool, _SLOT.c.name, _SLOT.c.host.label("place"), _I.c.key,
            _S.c.name.label("step"), _P.c.name.label("pipeline"), _W.c.name.label("worker"),
            _W.c.host, _A.c.claimed_us, _SLOT.c.is_retired,
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
        .order_by(_SLOT.c.pool, _SLOT.c.host, _SLOT.c.name)
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
                host=row.host or row.place or None,
                since=moment(row.claimed_us),
                is_retired=bool(row.is_retired),
            )
            for row in unit.execute(query)
        ]
