"""Which tasks a worker may have next: what fits it, in order, with the slots of pools they need.

Part of a claim's transaction. What is chosen is locked, so that no other worker chooses it; what
others have locked is passed over. Large tasks get their turn: see `passing`.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import or_, select

from stoker.model.id_types import AttemptId
from stoker.model.outpost import takes_any
from stoker.model.rank import priority_of
from stoker.model.shares import Ledger
from stoker.model.worker import Filling, TimeLeft
from stoker.store import tables
from stoker.store.catalog import reread
from stoker.store.claims.capacity import Room
from stoker.store.claims.demand import needs_of
from stoker.store.claims.passing import Lane, Passing
from stoker.store.claims.time_left import Fitting
from stoker.store.holdings.slots import Slots
from stoker.store.holdings.together import bind
from stoker.store.ids import new_attempt_id
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Prepared, Unit, param

_FEW = 16  # tasks that every group may be asked for; of more each for its part

_T, _I, _L, _N, _U = (
    tables.task, tables.item, tables.lane, tables.lane_need, tables.unsettled_step,
)  # fmt: skip

_first = (
    select(_T.c.okey)
    .where(_T.c.lane == _L.c.id)
    .order_by(_T.c.okey, _T.c.id)
    .limit(1)
    .scalar_subquery()
)
_HEADS = Prepared(  # of other hosts only those that may have to be left slots
    select(
        _L.c.id, _L.c.cpus, _L.c.memory_bytes, _L.c.share, _L.c.host, _L.c.passed_us,
        _L.c.seen_us, _L.c.kept_by, _first.label("okey"),
    ).where(
        _L.c.share.is_not(None),
        _L.c.step_id.not_in(select(_U.c.step_id)),  # what its tasks wait for may be another
        or_(
            _L.c.host == "",
            _L.c.host == param("host"),
            select(_N.c.pool).where(_N.c.lane_id == _L.c.id).exists(),
        ),
    )
)  # fmt: skip
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
    select(
        _next, _I.c.key, _I.c.path, _I.c.params, _I.c.meta, _I.c.generation, _I.c.size_bytes
    ).join_from(_next, _I, _I.c.id == _next.c.item_id)
)
_BEHIND_ALL = (1 << 62, 1 << 62)  # an okey and an id behind those of any task


class Ready(NamedTuple):
    """A task that is ready, with its item, as `_TAKE` reads it."""

    okey: int
    task_id: int
    item_id: int
    number: int
    tries: int
    key: str
    path: bytes | None
    params: str
    meta: str
    generation: int
    size_bytes: int | None


class _Head(NamedTuple):
    """A lane with the okey of its first task, as `_HEADS` reads it; without one if it has none."""

    lane_id: int
    cpus: int
    memory_bytes: int | None
    share: str
    host: str
    passed_us: int | None
    seen_us: int | None
    kept_by: str | None
    okey: int | None


class Taken(NamedTuple):
    """A task about to be claimed."""

    lane: Lane
    row: Ready
    attempt: AttemptId
    slots: Mapping[str, tuple[str, ...]]


_Candidate = tuple[
    Ready | None, Lane
]  # a task's row, or None where the lane's first cannot begin now


def take(
    unit: Unit,
    known: Catalog,
    room: Room,
    limit: int,
    filling: Filling | None = None,
    ledger: Ledger | None = None,
    left: TimeLeft | None = None,
) -> list[Taken]:
    """Choose tasks in order from the lanes that fit, and take their slots of pools.

    With a `ledger` and shares in the order of fair shares. Only what fits the time `left`, if that is
    given. Ends with the first task that the portion that is `filling` has no room for.
    """
    fitting = Fitting(unit, left, room.host) if left is not None else None
    lanes = _lanes(unit, known, room)
    if fitting is not None:
        lanes = [lane for lane in lanes if not lane.is_ours or fitting.most(lane.entry, 1)]
    is_pooled = any(lane.needs for lane in lanes)
    slots = Slots(unit, room.host, known.sharing) if is_pooled else None
    choice = _Choice(unit, known, room, slots, filling)
    for row, lane in _in_turn(unit, known, lanes, slots, limit, ledger, choice.taken, fitting):
        if not choice.goes_on(row, lane) or len(choice.taken) >= limit:
            break
    choice.passing.write()
    return choice.taken


class _Choice:
    """What one claim has chosen so far: `taken`, with what is noted of the lanes that it passes over."""

    def __init__(
        self,
        unit: Unit,
        known: Catalog,
        room: Room,
        slots: Slots | None,
        filling: Filling | None,
    ) -> None:
        self.taken: list[Taken] = []
        self.passing = Passing(unit, room, slots)
        self._unit = unit
        self._known = known
        self._host = room.host
        self._slots = slots
        self._filling = filling
        self._over: set[int] = set()  # lanes of which nothing more can begin now

    def goes_on(self, row: Ready | None, lane: Lane) -> bool:
        """Take the task, or pass it over; return whether anything after it may begin."""
        slots = self._slots
        if lane.id in self._over or (slots and lane.is_ours and slots.waits_for_turn(lane.needs)):
            return True
        if row is None or (slots and slots.is_short(lane.needs)):
            self._over.add(lane.id)
            return not self.passing.passes_over(lane)
        if not self._wants(lane):
            return False
        if self._is_here(row, lane):
            self._take(row, lane)
        return True

    def _wants(self, lane: Lane) -> bool:
        """Whether the portion that is being filled has room for a task of the lane."""
        version = self._known.current[lane.entry.pipeline]
        filling = self._filling
        return not filling or filling.wants(version, lane.entry.name, lane.memory_bytes)

    def _is_here(self, row: Ready, lane: Lane) -> bool:
        """Whether the task may run on this host; what stays together with it belongs here from now on."""
        if lane.host or len(lane.entry.together) <= 1:
            return True
        return bind(self._unit, self._known, lane.entry, row.item_id, lane.share, self._host)

    def _take(self, row: Ready, lane: Lane) -> None:
        """The task is taken, if there are the slots that it needs."""
        attempt, slots = new_attempt_id(), self._slots
        held = slots.take(lane.needs, attempt) if slots and lane.needs else {}
        if held is None:
            self._over.add(lane.id)
            return
        self.taken.append(Taken(lane, row, attempt, held))
        self.passing.has_begun(lane)


def _lanes(unit: Unit, known: Catalog, room: Room) -> list[Lane]:
    """Return the lanes with tasks that this worker may claim, or has to leave something to."""
    closed = known.sharing.closed(unit.now_us)
    heads = [_Head._make(row) for row in unit.run(_HEADS, host=room.host).fetchall()]
    by_lane = known.by_lane
    if any(head.lane_id not in by_lane for head in heads if head.okey is not None):
        by_lane = reread(unit, known.newest_version).by_lane  # others made some since
    found = []
    is_by_files = takes_any(room.host)
    for head in heads:
        if head.okey is None:
            continue
        entry, cpus, memory = by_lane[head.lane_id], head.cpus, head.memory_bytes
        spec = entry.spec
        if (
            spec is None
            or entry.is_foreign
            or (closed and not closed.keys().isdisjoint(spec.pools))
        ):
            continue
        is_ours = needs_of(entry, cpus, memory, head.host).are_met_by(
            host=room.host, cpus=room.most_cpus, memory_bytes=room.most_bytes, tags=room.tags
        )
        is_ours = is_ours and not (is_by_files and _stays_here(entry, known))
        if is_ours or spec.pools or head.kept_by == room.place:
            fits = is_ours and cpus <= room.cpus and (memory or 0) <= room.memory_bytes
            found.append(
                Lane(
                    head.okey, head.lane_id, cpus, memory, entry, spec.pools, head.share, head.host,
                    is_ours, fits, head.passed_us, head.seen_us, head.kept_by,
                )
            )  # fmt: skip
    return found


def _stays_here(entry: StepEntry, known: Catalog) -> bool:
    """Whether a step needs something that does not pass through files."""
    spec = entry.spec
    if spec is None or spec.secrets or len(entry.together) > 1:
        return True
    declared = (known.sharing.declared.get(name) for name in spec.pools)
    return any(
        pool is not None and (pool.is_per_host or pool.per_minute is not None) for pool in declared
    )


def _in_turn(
    unit: Unit,
    known: Catalog,
    lanes: Sequence[Lane],
    slots: Slots | None,
    limit: int,
    ledger: Ledger | None,
    taken: Sequence[Taken],
    fitting: Fitting | None,
) -> Iterator[_Candidate]:
    """Yield the first tasks of these lanes in order; `taken` says what became of those before.

    With shares, of tasks of equal priority the one whose group has had least comes next.
    """
    shares = known.sharing.shares
    if ledger is None or shares.by is None:
        yield from _candidates(unit, lanes, limit, slots, fitting)
        return
    groups: dict[str, list[Lane]] = {}
    for lane in lanes:
        groups.setdefault(shares.group(lane.share, lane.entry.pipeline), []).append(lane)
    standing = ledger.standing(groups, unit.now_us)
    weights = {group: shares.weight(group) for group in groups}
    queues: dict[str, deque[_Candidate]] = {}
    for group, several in groups.items():
        part = ceil(limit * weights[group] / sum(weights.values()))
        most = limit if limit <= _FEW else part
        queues[group] = deque(_candidates(unit, several, most, slots, fitting))
    while queues := {group: queue for group, queue in queues.items() if queue}:
        group = min(queues, key=lambda one: (-_priority(queues[one][0]), standing[one], one))
        before = len(taken)
        row, lane = queues[group].popleft()
        yield row, lane
        if len(taken) > before:
            standing[group] += ledger.cost(shares, group, lane.cpus)


def _priority(one: _Candidate) -> int:
    row, lane = one
    return priority_of(lane.okey if row is None else row.okey)


def _candidates(
    unit: Unit,
    lanes: Sequence[Lane],
    limit: int,
    slots: Slots | None,
    fitting: Fitting | None,
) -> list[_Candidate]:
    """Return the first tasks of these lanes in order.

    No more of a lane is read, and so kept from other workers, than can come before the `limit`
    first tasks of the lanes without pools, and than the pools have free slots for.
    """
    found: list[_Candidate] = []
    sure: list[tuple[int, int]] = []  # okey and id of what nothing but its order keeps back
    last = _BEHIND_ALL
    for lane in sorted(lanes, key=attrgetter("okey", "id")):
        if lane.okey > last[0]:
            break
        most = min(limit, slots.most(lane.needs)) if slots and lane.needs else limit
        if not lane.fits or most <= 0:
            found.append((None, lane))
            continue
        look = fitting.most(lane.entry, most) if fitting is not None else most
        cursor = unit.run(_TAKE, lane=lane.id, okey=last[0], before=last[1], limit=look)
        rows = [Ready._make(row) for row in cursor.fetchall()]
        if fitting is not None:
            rows = [row for row in rows if fitting.holds(lane.entry, row.size_bytes)][:most]
        found += [(row, lane) for row in rows]
        if not lane.needs and rows:
            sure = sorted([*sure, *((row.okey, row.task_id) for row in rows)])[:limit]
            if len(sure) == limit:
                last = sure[-1]
    return sorted(found, key=_by_order)


def _by_order(one: _Candidate) -> tuple[int, int]:
    row, lane = one
    return (lane.okey, 0) if row is None else (row.okey, row.task_id)
