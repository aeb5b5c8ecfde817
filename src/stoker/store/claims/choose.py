"""Which tasks a worker may have next: what fits it, in order, with the slots of pools they need.

Part of a claim's transaction. What is chosen is locked, so that no other worker chooses it; what
others have locked is passed over.

**Large tasks.** Where the first task of a lane finds too few cpus, too little memory or too few
slots, what comes after it goes ahead: idle cpus help nobody. But not for ever. Once it has been
passed over for `PATIENCE_US`, what it needs is kept for it: every worker leaves it slots of its
pools, and one place, the first to have too few cpus for it then, starts nothing that comes after it.
Running attempts end, so its turn comes.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import or_, select, update

from stoker.model.rank import priority_of
from stoker.model.shares import Ledger
from stoker.model.task import AttemptId
from stoker.model.worker import Filling, TimeLeft
from stoker.store import tables
from stoker.store.catalog import reread
from stoker.store.claims.capacity import Room
from stoker.store.claims.time_left import Fitting
from stoker.store.dialects.constructs import by_index
from stoker.store.holdings.slots import Needs, Slots
from stoker.store.holdings.together import bind
from stoker.store.ids import new_attempt_id
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Prepared, Unit, param, param_list

PATIENCE_US = 60_000_000
FRESH_US = 30_000_000  # what has not been looked at for longer keeps nothing from others
_NOTE_US = 5_000_000  # between two notes of the same lane
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
_UNNOTED = Prepared(
    by_index(
        select(_L.c.id).where(_L.c.id.in_(param_list("lanes"))).with_for_update(skip_locked=True),
        _L,
        "PRIMARY",
    )
)
_NOTE = Prepared(
    update(_L)
    .where(_L.c.id == param("lane_id_"))
    .values(passed_us=param("passed_us"), seen_us=param("seen_us"), kept_by=param("kept_by"))
)
_BEHIND_ALL = (1 << 62, 1 << 62)  # an okey and an id behind those of any task


class Taken(NamedTuple):
    """A task about to be claimed.

    `row` has its okey, id, item's id, number and tries, and its item's key, path, params, meta,
    generation and size.
    """

    lane: "Lane"
    row: Any
    attempt: AttemptId
    slots: Mapping[str, tuple[str, ...]]


class Lane(NamedTuple):
    """A lane that has tasks, with the first one's okey and what one task needs.

    `is_ours`: this worker has what it needs, if not just now; `fits`: just now, slots aside. The
    rest is what is noted of its being passed over: see `tables.lane`.
    """

    okey: int
    id: int
    cpus: int
    memory_bytes: int | None
    entry: StepEntry
    needs: Needs
    share: str
    host: str
    is_ours: bool
    fits: bool
    passed_us: int | None
    seen_us: int | None
    kept_by: str | None


_Candidate = tuple[Any, Lane]  # a task's row, or None where the lane's first cannot begin now


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
    lanes = _lanes(unit, known, room)
    fitting = Fitting(unit, left, room.host) if left is not None else None
    if fitting is not None:
        lanes = [lane for lane in lanes if not lane.is_ours or fitting.most(lane.entry, 1)]
    is_pooled = any(lane.needs for lane in lanes)
    slots = Slots(unit, room.host, known.sharing) if is_pooled else None
    passing = _Passing(unit, room, slots)
    taken: list[Taken] = []
    over: set[int] = set()  # lanes of which nothing more can begin now
    for row, lane in _in_turn(unit, known, lanes, slots, limit, ledger, taken, fitting):
        if len(taken) >= limit:
            break
        if lane.id in over or (slots and lane.is_ours and slots.waits_for_turn(lane.needs)):
            continue
        if row is None or (slots and slots.is_short(lane.needs)):
            over.add(lane.id)
            if passing.passes_over(lane):
                break
            continue
        entry = lane.entry
        version = known.current[entry.pipeline]
        if filling and not filling.wants(version, entry.name, lane.memory_bytes):
            break
        is_loose = len(entry.together) > 1 and not lane.host
        if is_loose and not bind(unit, known, entry, row[2], lane.share, room.host):
            continue
        attempt = new_attempt_id()
        held = slots.take(lane.needs, attempt) if slots and lane.needs else {}
        if held is None:
            over.add(lane.id)
            continue
        taken.append(Taken(lane, row, attempt, held))
        passing.has_begun(lane)
    passing.write()
    return taken


def _lanes(unit: Unit, known: Catalog, room: Room) -> list[Lane]:
    """Return the lanes with tasks that this worker may claim, or has to leave something to."""
    closed = known.sharing.closed(unit.now_us)
    rows = [row for row in unit.run(_HEADS, host=room.host).fetchall() if row[8] is not None]
    by_lane = known.by_lane
    if any(row[0] not in by_lane for row in rows):
        by_lane = reread(unit, known.newest_version).by_lane  # others made some since
    found = []
    for lane_id, cpus, memory, share, host, passed_us, seen_us, kept_by, okey in rows:
        entry = by_lane[lane_id]
        spec = entry.spec
        if spec is None or (closed and not closed.keys().isdisjoint(spec.pools)):
            continue
        is_ours = (
            host in ("", room.host)
            and cpus <= room.most_cpus
            and (memory or 0) <= room.most_bytes
            and room.tags.issuperset(spec.needs)
        )
        if is_ours or spec.pools or kept_by == room.place:
            fits = is_ours and cpus <= room.cpus and (memory or 0) <= room.memory_bytes
            found.append(
                Lane(
                    okey, lane_id, cpus, memory, entry, spec.pools, share, host, is_ours, fits,
                    passed_us, seen_us, kept_by,
                )
            )  # fmt: skip
    return found


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
    """Yield the first tasks of these lanes in order; `taken` tells what became of those before.

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
    return priority_of(lane.okey if row is None else row[0])


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
        rows = unit.run(_TAKE, lane=lane.id, okey=last[0], before=last[1], limit=look).fetchall()
        if fitting is not None:
            rows = [row for row in rows if fitting.holds(lane.entry, row[10])][:most]
        found += [(row, lane) for row in rows]
        if not lane.needs and rows:
            sure = sorted([*sure, *((row[0], row[1]) for row in rows)])[:limit]
            if len(sure) == limit:
                last = sure[-1]
    return sorted(found, key=_by_order)


def _by_order(one: _Candidate) -> tuple[int, int]:
    row, lane = one
    return (lane.okey, 0) if row is None else (row[0], row[1])


class _Passing:
    """What is noted of lanes whose first task is passed over, and what is kept for them."""

    def __init__(self, unit: Unit, room: Room, slots: Slots | None) -> None:
        self._unit = unit
        self._room = room
        self._slots = slots
        self._notes: dict[int, tuple[int | None, int | None, str | None]] = {}

    def passes_over(self, lane: Lane) -> bool:
        """The lane's first task cannot begin; return whether nothing after it may either."""
        now_us, place = self._unit.now_us, self._room.place
        is_old = lane.passed_us is not None and now_us - lane.passed_us >= PATIENCE_US
        is_fresh = lane.seen_us is not None and now_us - lane.seen_us < FRESH_US
        keeper = lane.kept_by if is_fresh else None
        if lane.is_ours:
            is_fresh = True
            if is_old and not lane.fits:
                keeper = keeper or place
            elif keeper == place:
                keeper = None
            if now_us - (lane.seen_us or 0) >= _NOTE_US or keeper != lane.kept_by:
                passed_us = now_us if lane.passed_us is None else lane.passed_us
                self._notes[lane.id] = (passed_us, now_us, keeper)
        if not (is_old and is_fresh):
            return False
        if self._slots and lane.needs:
            self._slots.keep(lane.needs, is_here=lane.is_ours)
        return keeper == place

    def has_begun(self, lane: Lane) -> None:
        """A task of the lane is taken: its next one has not been passed over yet."""
        if lane.passed_us is not None:
            self._notes[lane.id] = (None, None, None)

    def write(self) -> None:
        """What was noted is in the store.

        Nobody waits to note it: of a lane that another claim just notes, that one's word holds.
        """
        if self._notes and self._unit.store.dialect.locks_rows:
            rows = self._unit.run(_UNNOTED, lanes=sorted(self._notes)).fetchall()
            self._notes = {row[0]: self._notes[row[0]] for row in rows}
        self._unit.run_many(
            _NOTE,
            [
                {
                    "lane_id_": lane, "passed_us": passed_us, "seen_us": seen_us,
                    "kept_by": kept_by,
                }
                for lane, (passed_us, seen_us, kept_by) in sorted(self._notes.items())
            ],
        )  # fmt: skip
