"""What is ready, by needs: which attempts could begin now if somebody with room for them came.

The one reading of it, for those who bring workers (pilots, a person with a bigger host) and those who
says why nothing happens. Claims decide by the same `Needs`.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import case, func, select

from stoker.model.encoding import Answer
from stoker.model.outpost import is_outpost, takes_any
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.claims.time_left import FEW, usual_factor
from stoker.store.forecasts.estimates import Book, book
from stoker.store.steps import Catalog, StepEntry
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

LOOKED_AT = 2_000  # tasks of a lane by which its mean is computed
_BATCH = 500

_T, _I, _L, _S, _U = (
    tables.task, tables.item, tables.lane, tables.slot, tables.unsettled_step,
)  # fmt: skip


class Needs(NamedTuple):
    """What one attempt needs of a worker and its host, whatever runs there just now.

    `host` alone may run it; empty: any. Slots of `pools` come on top, and are the pools' matter.
    """

    cpus: int
    memory_bytes: int
    tags: AbstractSet[str]
    host: str = ""
    pools: Mapping[str, int] = {}

    def are_met_by(
        self, *, host: str, cpus: int, memory_bytes: int, tags: AbstractSet[str]
    ) -> bool:
        """Whether a worker of that host, with so much at most, could run it."""
        return (
            (self.host == host or (not self.host and (not is_outpost(host) or takes_any(host))))
            and self.cpus <= cpus
            and self.memory_bytes <= memory_bytes
            and self.tags <= tags
        )


def needs_of(entry: StepEntry, cpus: int, memory_bytes: int | None, host: str = "") -> Needs:
    """Return what an attempt of the step needs, by the numbers of its lane."""
    spec = entry.spec
    tags = frozenset(spec.needs) if spec is not None else frozenset()
    pools = spec.pools if spec is not None else {}
    return Needs(cpus, memory_bytes or 0, tags, host, pools)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand(Answer):
    """Ready and due tasks of one step with equal needs, of items that one person pushed.

    A worker can run them if it has `cpus` and `memory_bytes` (None: any) and all `tags`, and is on
    `host` (None: any). `count` are there; `item` is the key of the one that comes first. One of them
    takes `expected_s` in the mean, and nine of ten of that size take no more than `needed_s`; both
    None while fewer than three attempts of the step have succeeded. `timeout_s` ends an attempt.

    `at_once` attempts would find the slots of pools that they need free now, and as many as may begin
    by the pools' rates (None: they need no pool). Slots that each host has for itself do not count in
    it: a new host brings its own. `opens_at`: not before that, by the hours of a pool.
    """

    pipeline: str
    step: str
    cpus: int
    memory_bytes: int | None
    tags: Sequence[str]
    host: str | None
    user: str
    pools: Mapping[str, int]
    at_once: int | None
    opens_at: datetime | None
    count: int
    item: str
    expected_s: float | None
    needed_s: float | None
    timeout_s: float | None


def demand(store: "Store") -> list[Demand]:
    """Return what is ready, in the order in which claims would take the first of each.

    Reads one state of the store, and takes no lock. What is in back-off, held, or of a step whose
    tasks still follow a new version is not ready. Exact counts; where a kind has thousands, the mean
    is that of an even part of them.
    """
    with store.reading() as unit:
        known = catalog(unit)
        unsettled = set(unit.execute(select(_U.c.step_id)).scalars())
        waiting = [
            row
            for row in _counted(unit)
            if (entry := known.by_lane.get(row.lane)) is not None
            and entry.spec is not None
            and not entry.is_foreign
            and entry.id not in unsettled
        ]
        if not waiting:
            return []
        means = _means(unit, waiting)
        firsts = _firsts(unit, [row.lane for row in waiting])
        pools = _Pools(unit, known)
        lanes = {
            row.id: row
            for row in unit.execute(select(_L).where(_L.c.id.in_([row.lane for row in waiting])))
        }
        found = []
        for row in waiting:
            entry, lane = known.by_lane[row.lane], lanes[row.lane]
            needs = needs_of(entry, lane.cpus, lane.memory_bytes, lane.host)
            okey, key = firsts[row.lane]
            made = _demand(
                entry, needs, lane.share, row.n, key, pools, means.get(row.lane), book(unit)
            )
            found.append((okey, row.lane, made))
    return [made for *_, made in sorted(found, key=lambda one: one[:2])]


def _demand(
    entry: StepEntry, needs: Needs, user: str, count: int, key: str, pools: "_Pools",
    mean_ms: float | None, known: Book,
) -> Demand:  # fmt: skip
    fit = known.fits.get(entry.id)
    expected_s = None
    if (
        fit is not None and fit.n >= FEW
    ):  # tasks that were ready before have it only once computed again
        expected_s = fit.seconds(None) if mean_ms is None else mean_ms / 1000
    needed_s = None
    if expected_s is not None:
        needed_s = round(expected_s * usual_factor(known, entry.id), 3)
        expected_s = round(expected_s, 3)
    return Demand(
        pipeline=entry.pipeline,
        step=entry.name,
        cpus=needs.cpus,
        memory_bytes=needs.memory_bytes or None,
        tags=sorted(needs.tags),
        host=needs.host or None,
        user=user,
        pools=dict(needs.pools),
        at_once=pools.at_once(needs.pools),
        opens_at=pools.opens_at(needs.pools),
        count=count,
        item=key,
        expected_s=expected_s,
        needed_s=needed_s,
        timeout_s=entry.spec.timeout_s if entry.spec is not None else None,
    )


def _counted(unit: Unit) -> Sequence[Any]:
    """Return how many tasks stand in each lane, which the index of lanes alone answers."""
    query = select(_T.c.lane, func.count().label("n")).where(_T.c.lane.is_not(None))
    rows: Sequence[Any] = unit.execute(query.group_by(_T.c.lane)).fetchall()
    return rows


def _means(unit: Unit, counted: Sequence[Any]) -> dict[int, float | None]:
    """Return the mean expected time of the tasks of each lane, in milliseconds."""
    found: dict[int, float | None] = {}
    few = [row.lane for row in counted if row.n <= LOOKED_AT]
    mean = func.avg(_T.c.expected_ms)
    for at in range(0, len(few), _BATCH):
        query = select(_T.c.lane, mean).where(_T.c.lane.in_(few[at : at + _BATCH]))
        for lane, mean_ms in unit.execute(query.group_by(_T.c.lane)):
            found[lane] = None if mean_ms is None else float(mean_ms)
    for row in counted:
        if row.n > LOOKED_AT:
            part = -(-row.n // LOOKED_AT)
            some = select(mean).where(_T.c.lane == row.lane, _T.c.id % part == 0)
            mean_ms = unit.execute(some).scalar()
            found[row.lane] = None if mean_ms is None else float(mean_ms)
    return found


def _firsts(unit: Unit, lanes: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Return the order key and the item's key of the first task of each lane."""
    found = {}
    for lane in lanes:
        first = select(_T.c.okey, _I.c.key).join(_I, _I.c.id == _T.c.item_id)
        row = unit.execute(
            first.where(_T.c.lane == lane).order_by(_T.c.okey, _T.c.id).limit(1)
        ).one()
        found[lane] = (row.okey, row.key)
    return found


class _Pools:
    """What the pools that all hosts share have to give just now."""

    def __init__(self, unit: Unit, known: Catalog) -> None:
        turn = tables.turn
        self._declared = known.sharing.declared
        self._closed = known.sharing.closed(unit.now_us)
        is_free = case((_S.c.attempt.is_(None) & ~_S.c.is_retired, 1), else_=0)
        beyond = case((_S.c.attempt.is_not(None) & _S.c.is_retired, 1), else_=0)
        slots = select(_S.c.pool, func.sum(is_free - beyond)).where(_S.c.host == "")
        self._free = {pool: int(n) for pool, n in unit.execute(slots.group_by(_S.c.pool))}
        turns = select(turn.c.pool, func.count()).where(
            turn.c.host == "", turn.c.free_us <= unit.now_us
        )
        self._turns = {pool: int(n) for pool, n in unit.execute(turns.group_by(turn.c.pool))}

    def at_once(self, pools: Mapping[str, int]) -> int | None:
        """Return how many attempts that each need these slots could hold them now; None: any."""
        most = None
        for name, n in pools.items():
            pool = self._declared.get(name)
            if pool is not None and pool.is_per_host:
                continue
            fit = max(self._free.get(name, 0), 0) // n
            if pool is not None and pool.per_minute is not None:
                fit = min(fit, self._turns.get(name, 0))
            most = fit if most is None else min(most, fit)
        return most

    def opens_at(self, pools: Mapping[str, int]) -> datetime | None:
        """Return when the last of these pools opens that is closed; None if none is."""
        return moment(
            max((self._closed[name] for name in pools if name in self._closed), default=None)
        )
