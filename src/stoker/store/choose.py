"""Which tasks a worker may have next: what fits it, in order, with the slots of pools they need.

Part of a claim's transaction. What is chosen is locked, so that no other worker chooses it; what
others have locked is passed over.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import and_, func, literal_column, or_, select, union_all, update

from stoker.errors import StaleAttempt
from stoker.model.states import AttemptState, WorkerState
from stoker.model.task import AttemptId, VersionId
from stoker.store import tables
from stoker.store.catalog import NEWEST_VERSION, Catalog, StepEntry
from stoker.store.ids import new_attempt_id
from stoker.store.unit import Prepared, Unit, param, param_list

_T, _I, _L, _S, _W, _A = (
    tables.task, tables.item, tables.lane, tables.slot, tables.worker, tables.attempt,
)  # fmt: skip

_free = (
    select(func.count())
    .where(_S.c.pool == tables.lane_need.c.pool, _S.c.attempt.is_(None), ~_S.c.is_retired)
    .scalar_subquery()
)
_starved = (
    select(tables.lane_need.c.pool)
    .where(tables.lane_need.c.lane_id == _L.c.id, _free < tables.lane_need.c.n)
    .exists()
)
_first = (
    select(_T.c.okey)
    .where(_T.c.lane == _L.c.id)
    .order_by(_T.c.okey, _T.c.id)
    .limit(1)
    .scalar_subquery()
)
_HEADS = Prepared(
    select(_L.c.id, _L.c.cpus, _L.c.memory_bytes, _first.label("okey")).where(
        _L.c.cpus <= param("cpus"),
        or_(_L.c.memory_bytes.is_(None), _L.c.memory_bytes <= param("memory_bytes")),
        ~_starved,
    )
)
_next = (
    select(_T.c.okey, _T.c.id, _T.c.item_id, _T.c.number, _T.c.tries)
    .where(
        _T.c.lane == param("lane"),
        _T.c.okey <= param("okey"),
        or_(_T.c.okey < param("okey"), _T.c.id < param("before")),
    )
    .order_by(_T.c.okey, _T.c.id)
    .limit(param("limit"))
    .with_for_update(skip_locked=True)
    .cte("next")
)
_TAKE = Prepared(  # locks the tasks, not the items
    select(_next, _I.c.key, _I.c.path, _I.c.params, _I.c.meta, _I.c.generation).join_from(
        _next, _I, _I.c.id == _next.c.item_id
    )
)
# The states as words of the text, not as parameters: only then do the indexes of such rows serve.
_alive = _W.c.state == literal_column(str(WorkerState.ALIVE.value))
_running = _A.c.state == literal_column(str(AttemptState.RUNNING.value))
_of_worker = (
    _W.c.id, _W.c.state, _W.c.host, _W.c.cpus, _W.c.memory_bytes, _W.c.slots, NEWEST_VERSION,
)  # fmt: skip
_own_host = select(_W.c.host).where(_W.c.id == param("worker_id")).scalar_subquery()
_HERE = Prepared(
    union_all(
        select(*_of_worker).where(_W.c.id == param("worker_id")),
        select(*_of_worker).where(_alive, _W.c.host == _own_host, _W.c.id != param("worker_id")),
    )
)
_HELD = Prepared(
    select(
        _A.c.worker_id,
        func.coalesce(func.sum(_L.c.cpus), 0),
        func.coalesce(func.sum(_L.c.memory_bytes), 0),
    )
    .select_from(
        _A.join(_T, _T.c.id == _A.c.task_id).join(
            _L,
            and_(_L.c.step_id == _T.c.step_id, _L.c.level == _T.c.level, _L.c.share.is_(None)),
        )
    )
    .where(_running, _A.c.worker_id.in_(param_list("workers")))
    .group_by(_A.c.worker_id)
)
_HOST = Prepared(
    select(_W.c.id).where(_alive, _W.c.host == param("host")).order_by(_W.c.id).with_for_update()
)
_NEEDS = Prepared(
    select(tables.lane_need.c.pool, tables.lane_need.c.n, _free)
    .where(tables.lane_need.c.lane_id == param("lane"))
    .order_by(tables.lane_need.c.pool)
)
_FREE_SLOTS = Prepared(
    select(_S.c.name)
    .where(_S.c.pool == param("pool"), _S.c.attempt.is_(None), ~_S.c.is_retired)
    .order_by(_S.c.name)
    .limit(param("limit"))
    .with_for_update(skip_locked=True)
)
_TAKE_SLOT = Prepared(
    update(_S)
    .where(_S.c.pool == param("pool_"), _S.c.name == param("name_"), _S.c.attempt.is_(None))
    .values(attempt=param("attempt"))
)
Wants = Callable[[VersionId, str, int | None], bool]  # of a version, step and memory: one more?
_NO_NEEDS: Sequence[Any] = ()
_BEHIND_ALL = (1 << 62, 1 << 62)  # an okey and an id behind those of any task


class Taken(NamedTuple):
    """A task about to be claimed.

    `row` has its okey, id, item's id, number and tries, and its item's key, path, params, meta and
    generation.
    """

    lane: "Lane"
    row: Any
    attempt: AttemptId
    slots: Mapping[str, tuple[str, ...]]


class Lane(NamedTuple):
    """A lane whose tasks fit, with the first task's okey and what one task needs."""

    okey: int
    id: int
    cpus: int
    memory_bytes: int | None
    entry: StepEntry


def room(
    unit: Unit, worker_id: int, cpus_free: int, memory_free: int | None
) -> tuple[int, int, int | None]:
    """Return the cpus and bytes that a task may need at most, the host's other workers counted.

    With them, as it costs no statement of its own, the id of the newest version of a pipeline.
    """
    here = {row[0]: row for row in unit.run(_HERE, worker_id=worker_id).fetchall()}
    _, state, host, cpus, memory, slots, newest = here.pop(worker_id)
    if state != WorkerState.ALIVE:
        raise StaleAttempt(
            f"worker {worker_id} was declared dead as it had not renewed its lease; "
            "it begins anew as another"
        )
    cpus = max(cpus, slots)  # whoever asks for more slots than there are cpus means it
    if here:
        if unit.store.dialect.locks_rows:
            unit.run(_HOST, host=host).fetchall()  # one at a time
        for other, used, held in unit.run(_HELD, workers=list(here)).fetchall():
            cpus -= min(int(used), here[other][5])
            memory -= int(held)
    room = min(cpus_free, cpus - (slots - cpus_free))
    return room, memory if memory_free is None else min(memory, memory_free), newest


def take(
    unit: Unit, known: Catalog, limit: int, cpus: int, memory: int, wants: Wants | None
) -> list[Taken]:
    """Choose tasks in order from the lanes that fit, and take their slots of pools.

    Ends with the first task that the worker does not want.
    """
    lanes = [
        Lane(okey, lane, lane_cpus, memory_bytes, known.by_lane[lane])
        for lane, lane_cpus, memory_bytes, okey in unit.run(
            _HEADS, cpus=cpus, memory_bytes=memory
        ).fetchall()
        if okey is not None and lane in known.by_lane
    ]
    taken: list[Taken] = []
    for row, lane, needs in _candidates(unit, sorted(lanes, key=itemgetter(0, 1)), limit):
        entry = lane.entry
        if len(taken) >= limit or (
            wants and not wants(known.current[entry.pipeline], entry.name, lane.memory_bytes)
        ):
            break
        attempt = new_attempt_id()
        slots = _take_slots(unit, needs, attempt) if needs else {}
        if slots is not None:
            taken.append(Taken(lane, row, attempt, slots))
    return taken


def _candidates(
    unit: Unit, lanes: Sequence[Lane], limit: int
) -> Iterable[tuple[Any, Lane, Sequence[Any]]]:
    """Return the first tasks of these lanes in order, each with its lane and its needs of pools.

    No more of a lane is read, and so kept from other workers, than can come before the `limit`
    first tasks of the lanes without pools, and than the pools have free slots for.
    """
    found: list[tuple[Any, Lane, Sequence[Any]]] = []
    sure: list[tuple[int, int]] = []  # okey and id of what nothing but its order keeps back
    last = _BEHIND_ALL
    for lane in lanes:
        if lane.entry.spec is None or lane.okey > last[0]:
            continue
        most, needs = limit, _NO_NEEDS
        if lane.entry.spec.pools:
            needs = unit.run(_NEEDS, lane=lane.id).fetchall()
            most = min(limit, *(free // n for _, n, free in needs))
        rows = unit.run(_TAKE, lane=lane.id, okey=last[0], before=last[1], limit=most).fetchall()
        found += [(row, lane, needs) for row in rows]
        if not needs and rows:
            sure = sorted([*sure, *((row[0], row[1]) for row in rows)])[:limit]
            if len(sure) == limit:
                last = sure[-1]
    return sorted(found, key=_by_order)


def _by_order(one: tuple[Any, Lane, Sequence[Any]]) -> tuple[int, int]:
    return one[0][0], one[0][1]


def _take_slots(
    unit: Unit, needs: Sequence[Any], attempt: bytes
) -> dict[str, tuple[str, ...]] | None:
    """Give the attempt its slots of every pool; None, nothing written, if one is short."""
    chosen: dict[str, tuple[str, ...]] = {}
    for pool, n, _ in needs:
        names = unit.run(_FREE_SLOTS, pool=pool, limit=n).fetchall()
        if len(names) < n:
            return None
        chosen[pool] = tuple(row[0] for row in names)
    unit.run_many(
        _TAKE_SLOT,
        [
            {"pool_": pool, "name_": name, "attempt": attempt}
            for pool, names in chosen.items()
            for name in names
        ],
    )
    return chosen
