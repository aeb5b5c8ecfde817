"""What is left to do and who is there to do it, as the forecast wants them."""

import json
import math
import random
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    and_,
    case,
    func,
    literal,
    or_,
    select,
)

from stoker.model.estimate import Observation
from stoker.model.forecast import Bulk, Forecast, Open, Step, can_run, forecast, forecast_bulk
from stoker.model.rank import PRIORITY_BITS, rank_of
from stoker.model.simulate import Fleet, Host, Needs, fleet_of
from stoker.model.states import AttemptState, TaskState, WorkerState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.estimates import Book, book, with_running
from stoker.store.sample import some_ready
from stoker.store.sharing import newest_sharing
from stoker.store.steps import Catalog
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.model.pipeline import Step as PipelineStep

EXACT = 1_500  # open tasks: with more, only totals are looked at
MANY = 100_000  # open tasks: with more, some are looked at for all
_PIECE = 500

_T, _I, _A, _W = tables.task, tables.item, tables.attempt, tables.worker
_BACK_OFF = and_(_T.c.not_before_us.is_not(None), _T.c.state == TaskState.READY.value)
_MASK = literal((1 << PRIORITY_BITS) - 1, BigInteger())


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task still to be done, with whose it is."""

    item_id: int
    step_id: int
    pipeline: str
    task: Open


def fleet(unit: Unit, known: Book) -> tuple[list[str], Fleet]:
    """Return the names of the living workers' hosts, and their slots and those of the pools now."""
    alive = _W.c.state == WorkerState.ALIVE.value
    workers: dict[str, list[Any]] = {}
    for row in unit.execute(select(_W).where(alive).order_by(_W.c.host)):
        workers.setdefault(row.host, []).append(row)
    hosts = [_host(of_host, known.speeds.get(name, 1.0)) for name, of_host in workers.items()]
    pools = newest_sharing(unit).pools().values()
    return list(workers), fleet_of(hosts, pools, unit.now_us)


def _host(workers: Sequence[Any], speed: float) -> Host:
    """Return what these workers of one host are together: they share its cpus and memory."""
    most = max(max(one.slots, one.cpus) for one in workers)
    return Host(
        min(sum(one.slots for one in workers), most),
        speed,
        memory_bytes=max(one.memory_bytes for one in workers),
        tags=frozenset(tag for one in workers for tag in json.loads(one.tags or "[]")),
    )


def needs_of(spec: "PipelineStep", *, level: int = 0) -> Needs:
    """Return what a task of the step needs, at that level of its memory."""
    memory = spec.memory_bytes
    return Needs(
        spec.cpus,
        tuple(sorted(spec.pools.items())),
        memory[min(level, len(memory) - 1)] if memory else 0,
        frozenset(spec.needs),
    )


def steps_of(known: Catalog, reckoned: Book) -> dict[Hashable, Step]:
    """Return what is reckoned of every step, by its id."""
    return {step: Step(reckoned.own[step], reckoned.fits.get(step)) for step in known.steps}


def forecasts(
    unit: Unit, counts: Mapping[str, Mapping[int, int]]
) -> tuple[dict[Hashable, Forecast], list[OpenTask] | None]:
    """Return for each pipeline when its last task ends, with the fleet that is there.

    `counts`: how many tasks of each step are going to run, by pipeline. Left out are pipelines of
    which nothing is left, of which nothing is known, or for which there is nobody. The open tasks
    come with it where they are few enough to be looked at one by one; then the forecasts are also
    by item id.
    """
    total = sum(n for of_steps in counts.values() for n in of_steps.values())
    if not total:
        return {}, None
    known, reckoned = catalog(unit), book(unit)
    _, there = fleet(unit, reckoned)
    if not there.hosts:
        return {}, None
    steps = steps_of(known, reckoned)
    draw = random.Random(total).random  # noqa: S311 - so that the same state has the same forecast
    told = {known.steps[step].pipeline for step in reckoned.fits if step in known.steps}
    found = open_tasks(unit, known, limit=EXACT) if total <= EXACT else None
    if found is None:
        bulk = _by_totals(unit, counts, steps, there, draw)
        return {name: one for name, one in bulk.items() if name in told}, None
    steps |= _told_by_running(unit, found)
    by_item = forecast([one.task for one in found], steps, there, draw)
    ends: dict[Hashable, Forecast] = {}
    for one in found:
        if one.item_id in by_item:
            ends[one.item_id] = by_item[one.item_id]
    by_pipeline = [one.task._replace(group=one.pipeline) for one in found]
    ends |= forecast(by_pipeline, steps, there, draw)
    known_items = {one.item_id for one in found if one.pipeline in told}
    return {name: one for name, one in ends.items() if name in told | known_items}, found


def of_item(unit: Unit, item_id: int, counts: Mapping[str, Mapping[int, int]]) -> Forecast | None:
    """Return when the last task of the item ends; None where nothing of it is going to run."""
    ends, found = forecasts(unit, counts)
    if found is not None:
        return ends.get(item_id)
    known, fits = catalog(unit), book(unit).fits
    query = select(_T.c.step_id, _T.c.okey).where(_T.c.item_id == item_id, _T.c.lane.is_not(None))
    row = unit.execute(query.order_by(_T.c.okey)).first()
    whole = ends.get(known.steps[row.step_id].pipeline) if row is not None else None
    if row is None or whole is None or row.step_id not in fits:
        return None
    open_tasks = sum(n for of_steps in counts.values() for n in of_steps.values())
    share = _share_before(unit, row.okey, open_tasks=open_tasks)
    own_s, fit = rank_of(row.okey), fits[row.step_id]
    return Forecast(
        whole.eta_s * share + own_s,
        whole.low_s * share + own_s * math.exp(fit.residual(0.1)),
        whole.high_s * share + own_s * math.exp(fit.residual(0.9)),
    )


def _share_before(unit: Unit, okey: int, *, open_tasks: int) -> float:
    """Return what part of the ready tasks comes before one with this key; of many by some of them."""
    if open_tasks > MANY and (some := some_ready(unit)):
        return sum(key < okey for _lane, key in some) / len(some)
    before = func.coalesce(func.sum(case((_T.c.okey < okey, 1), else_=0)), 0)
    ready = select(func.count(), before).where(_T.c.lane.is_not(None))
    n, first = unit.execute(ready).one()
    return float(first) / max(float(n), 1.0)


def _told_by_running(unit: Unit, found: Sequence[OpenTask]) -> dict[Hashable, Step]:
    """Return what is reckoned of the steps that run now, knowing how long they have."""
    running: dict[int, list[Observation]] = {}
    for one in found:
        if one.task.elapsed_s is not None:
            elapsed_s = one.task.elapsed_s * one.task.speed
            seen = Observation(one.task.size, elapsed_s, is_censored=True)
            running.setdefault(one.step_id, []).append(seen)
    return {
        step: Step(fitted.expected, fitted) for step, fitted in with_running(unit, running).items()
    }


def open_tasks(
    unit: Unit, known: Catalog, *, limit: int, pipeline: str | None = None
) -> list[OpenTask] | None:
    """Return all tasks that are going to run, each behind its predecessors; None if over `limit`.

    What stands behind a failure, or is held, is not going to run.
    """
    running = {
        row.task_id: row
        for row in unit.execute(
            select(_A.c.task_id, _A.c.started_us, _A.c.claimed_us, _W.c.host)
            .select_from(_A.outerjoin(_W, _W.c.id == _A.c.worker_id))
            .where(_A.c.state == AttemptState.RUNNING.value)
            .limit(limit + 1)
        )
    }
    heads = select(_T.c.item_id).where(or_(_T.c.lane.is_not(None), _BACK_OFF))
    items = set(unit.execute(heads.limit(limit + 1)).scalars())
    items |= _items_of(unit, running)
    if len(items) > limit:
        return None
    speeds = book(unit).speeds
    found: list[OpenTask] = []
    for item_id, rows in _tasks_of(unit, sorted(items)).items():
        found += _of_item(unit, known, item_id, rows, running, speeds, first=len(found))
    if pipeline is not None:
        return _only(found, pipeline)
    return found if len(found) <= limit else None


def _only(found: Sequence[OpenTask], pipeline: str) -> list[OpenTask]:
    """Leave out other pipelines' tasks; positions in `after` move accordingly."""
    kept = [at for at, one in enumerate(found) if one.pipeline == pipeline]
    place = {at: new for new, at in enumerate(kept)}
    return [
        OpenTask(
            found[at].item_id,
            found[at].step_id,
            pipeline,
            found[at].task._replace(after=tuple(place[one] for one in found[at].task.after)),
        )
        for at in kept
    ]


def _items_of(unit: Unit, tasks: Iterable[int]) -> set[int]:
    ids, found = sorted(tasks), set()
    for at in range(0, len(ids), _PIECE):
        query = select(_T.c.item_id).where(_T.c.id.in_(ids[at : at + _PIECE]))
        found |= set(unit.execute(query).scalars())
    return found


def _tasks_of(unit: Unit, items: Sequence[int]) -> dict[int, list[Any]]:
    """Return all tasks of these items, by item."""
    found: dict[int, list[Any]] = {}
    for at in range(0, len(items), _PIECE):
        query = select(
            _T.c.id, _T.c.item_id, _T.c.step_id, _T.c.state, _T.c.okey, _T.c.level, _I.c.size_bytes
        ).join(_I, _I.c.id == _T.c.item_id)
        query = query.where(_T.c.item_id.in_(items[at : at + _PIECE])).order_by(_T.c.id)
        for row in unit.execute(query):
            found.setdefault(row.item_id, []).append(row)
    return found


_OPEN = (TaskState.READY, TaskState.RUNNING, TaskState.BLOCKED)


def _of_item(
    unit: Unit,
    known: Catalog,
    item_id: int,
    rows: Sequence[Any],
    running: Mapping[int, Any],
    speeds: Mapping[str, float],
    *,
    first: int,
) -> list[OpenTask]:
    states = {row.step_id: TaskState(row.state) for row in rows}
    by_step = {row.step_id: row for row in rows}
    places: dict[int, int] = {}
    found: list[OpenTask] = []
    for step_id in sorted(states, key=lambda one: known.steps[one].position):
        entry, row = known.steps[step_id], by_step[step_id]
        before = [one for one in entry.predecessors if one in states]
        is_due = all(states[one].is_satisfied or one in places for one in before)
        if entry.spec is None or states[step_id] not in _OPEN or not is_due:
            continue
        attempt = running.get(row.id)
        elapsed_s = None
        if attempt is not None:
            elapsed_s = (unit.now_us - (attempt.started_us or attempt.claimed_us)) / 1e6
        places[step_id] = first + len(found)
        one = Open(
            step=step_id,
            size=row.size_bytes,
            order=float(row.okey),
            needs=needs_of(entry.spec, level=row.level),
            after=tuple(places[b] for b in before if b in places),
            group=item_id,
            elapsed_s=elapsed_s,
            speed=speeds.get(attempt.host, 1.0) if attempt is not None else 1.0,
        )
        found.append(OpenTask(item_id, step_id, entry.pipeline, one))
    return found


def _by_totals(
    unit: Unit,
    counts: Mapping[str, Mapping[int, int]],
    steps: Mapping[Hashable, Step],
    there: Fleet,
    draw: Any,
) -> dict[str, Forecast]:
    """Return the forecasts from how many tasks there are and the mean of their ranks.

    All pipelines share the fleet: each gets the part of it that its work is of all work, so that
    none is promised to be done before the others. Only those that need a pool wait for it, and
    those of which a task can never run are left out.
    """
    known, reckoned = catalog(unit), book(unit)
    open_tasks = sum(n for of_steps in counts.values() for n in of_steps.values())
    sizes, longest_s = _typical_sizes(unit, known, reckoned, open_tasks=open_tasks)
    bulks = {
        name: [
            Bulk(step, n, sizes.get(name), needs_of(spec))
            for step, n in of_steps.items()
            if (spec := known.steps[step].spec) is not None
        ]
        for name, of_steps in counts.items()
    }
    together = [one for of in bulks.values() for one in of if can_run(one, there)]
    wholes: dict[frozenset[str], Forecast | None] = {}
    ends: dict[str, Forecast] = {}
    for name, of_pipeline in bulks.items():
        if not all(can_run(bulk, there) for bulk in of_pipeline):
            continue
        pools = frozenset(pool for bulk in of_pipeline for pool, _ in bulk.needs.pools)
        if pools not in wholes:
            wholes[pools] = forecast_bulk(
                together, steps, there, draw, longest_s=longest_s, pools=pools
            )
        whole = wholes[pools]
        if of_pipeline and whole is not None:
            ends[name] = whole
    return ends


def _typical_sizes(
    unit: Unit, known: Catalog, reckoned: Book, *, open_tasks: int
) -> tuple[dict[str, int | None], float]:
    """Return for each pipeline a size whose rank is the mean of its ready tasks' ranks.

    And the longest rank of all. Only of those whose ranks say something: others are tried soon,
    whatever they take.
    """
    lane = tables.lane
    lanes = select(lane.c.id, lane.c.step_id).where(lane.c.step_id.in_(reckoned.fits))
    step_of = dict(tuple(row) for row in unit.execute(lanes))
    if not step_of:
        return {}, 0.0
    sums: dict[str, tuple[float, float]] = {}
    for lane_id, n, mean_s in _mean_ranks(unit, list(step_of), open_tasks=open_tasks):
        step = step_of[lane_id]
        size = _size_of_rank(reckoned, step, mean_s)
        if size is not None:
            count, total = sums.get(known.steps[step].pipeline, (0.0, 0.0))
            sums[known.steps[step].pipeline] = count + n, total + n * size
    first = select(func.min(_T.c.okey)).where(_T.c.lane == lane.c.id).scalar_subquery()
    heads = unit.execute(select(first).where(lane.c.id.in_(step_of))).scalars()
    longest_s = max((rank_of(key) for key in heads if key is not None), default=0.0)
    return {name: round(total / n) for name, (n, total) in sums.items()}, longest_s


def _mean_ranks(
    unit: Unit, lanes: Sequence[int], *, open_tasks: int
) -> Iterator[tuple[int, int, float]]:
    """Yield lanes, how many of their ready tasks were looked at, and the mean of those' ranks in s.

    Of many only some are, as a look through a million takes a quarter of a second on a server.
    """
    if open_tasks > MANY and (some := some_ready(unit)):
        ranks: dict[int, list[float]] = {}
        for lane, okey in some:
            ranks.setdefault(lane, []).append(rank_of(okey))
        for lane in ranks.keys() & set(lanes):
            yield lane, len(ranks[lane]), fmean(ranks[lane])
        return
    mean_ms = func.avg((-_T.c.okey).bitwise_and(_MASK))
    query = select(_T.c.lane, func.count(), mean_ms).group_by(_T.c.lane)
    for lane, n, mean in unit.execute(query.where(_T.c.lane.in_(lanes))):
        yield lane, n, float(mean) / 1000


def _size_of_rank(reckoned: Book, step: int, rank_s: float) -> int | None:
    """Return the size at which the step's rank is that; None where it does not depend on the size."""
    curve = reckoned.ranks[step]
    for low, high, one, other in zip(
        curve.sizes, curve.sizes[1:], curve.seconds, curve.seconds[1:], strict=False
    ):
        if one <= rank_s <= other and other > one:
            return round(low + (high - low) * (rank_s - one) / (other - one))
    if len(curve.sizes) == 1 or curve.seconds[-1] <= curve.seconds[0]:
        return None
    return curve.sizes[-1] if rank_s > curve.seconds[-1] else curve.sizes[0]
