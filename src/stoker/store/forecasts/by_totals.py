"""When it will be done where tasks are too many to be looked at one by one: by their totals.

All share the fleet, and nobody is promised to be done before the others, unless slots are divided
between groups: then a group is through when its work is, as if all were divided at every moment.
"""

import math
from collections.abc import Collection, Hashable, Mapping
from statistics import fmean
from typing import NamedTuple

from sqlalchemy import BigInteger, case, func, literal, select

from stoker.model.forecast import Bulk, Forecast, Step, Uniform, can_run, forecast_bulk, needs_of
from stoker.model.rank import PRIORITY_BITS, rank_of
from stoker.model.shares import ShareBy, Shares, parts_of_the_way
from stoker.model.simulate import Fleet
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.forecasts.estimates import Book, book
from stoker.store.forecasts.ready_sample import some_ready
from stoker.store.unit import Unit

MANY = 100_000  # open tasks: with more, some are looked at for all
_ABOUT = 1.1  # as long: what pools add to the end is not what keeps it back
_SOME = 50  # of those that are looked at, to speak for all of a group

_T, _I, _L = tables.task, tables.item, tables.lane
_MASK = literal((1 << PRIORITY_BITS) - 1, BigInteger())


class Part(NamedTuple):
    """What one group has to do in a pipeline."""

    pipeline: str
    group: str


class _Lane(NamedTuple):
    step: int
    pipeline: str
    user: str


class _Ready(NamedTuple):
    """The ready tasks of a lane: about how many, and the mean of their ranks."""

    n: float
    mean_s: float


def forecasts(
    unit: Unit,
    counts: Mapping[str, Mapping[int, int]],
    told: Collection[str],
    steps: Mapping[Hashable, Step],
    there: Fleet,
    draw: Uniform,
) -> dict[Hashable, Forecast]:
    """Return when each of the `told` pipelines ends, by its name, and each part of it that a group has.

    From how many tasks there are and the mean of their ranks. Only those that need a pool wait for
    it, and those of which a task can never run are left out.
    """
    if not told:
        return {}
    totals = _Totals(unit, counts, steps, there, draw)
    ends: dict[Hashable, Forecast] = {}
    for name in sorted(totals.work_s.keys() & set(told)):
        ends |= totals.ends_of(name)
    return ends


class _Totals:
    """What there is to do in each pipeline, as one whole: its work, its longest items, whose it is."""

    def __init__(
        self,
        unit: Unit,
        counts: Mapping[str, Mapping[int, int]],
        steps: Mapping[Hashable, Step],
        there: Fleet,
        draw: Uniform,
    ) -> None:
        self._steps = steps
        self._there = there
        self._draw = draw
        reckoned, lanes = book(unit), _lanes(unit)
        if there.shares.by is not ShareBy.USER:
            lanes = {number: lane for number, lane in lanes.items() if lane.step in reckoned.fits}
        ready = _ready(unit, lanes, open_tasks=sum(sum(of.values()) for of in counts.values()))
        self._longest_s = _longest(unit, reckoned, lanes)
        self._bulks = _bulks(unit, counts, _typical_sizes(reckoned, lanes, ready))
        self._able = {
            name: [one for one in of if can_run(one, there)] for name, of in self._bulks.items()
        }
        self.work_s = {
            name: sum(_work_s(one, steps) for one in of) for name, of in self._able.items() if of
        }
        self._parts = _parts(there.shares, self.work_s, lanes, ready)
        self._through = _through(there.shares, self._parts)
        self._wholes: dict[frozenset[str], Forecast | None] = {}

    def ends_of(self, name: str) -> dict[Hashable, Forecast]:
        """Return when the pipeline ends, and each part of it; nothing where a task can never run."""
        if len(self._able[name]) < len(self._bulks[name]):
            return {}
        latest = self._whole(
            frozenset(pool for bulk in self._bulks[name] for pool, _ in bulk.needs.pools)
        )
        if latest is None:
            return {}
        of_parts: dict[Hashable, Forecast] = {}
        if self._is_shared(latest):
            of_parts = {
                part: _earlier(latest, self._through[part.group], self._longest_s.get(name, 0.0))
                for part in self._parts
                if part.pipeline == name
            }
        return {**of_parts, name: max(of_parts.values(), default=latest)}

    def _is_shared(self, latest: Forecast) -> bool:
        """Whether groups end one before another; what waits for a pool gains nothing by its share."""
        freely = self._whole(frozenset()) if len(self._through) > 1 else None
        return freely is not None and latest.eta_s <= freely.eta_s * _ABOUT

    def _whole(self, pools: frozenset[str]) -> Forecast | None:
        """Return when all ends that can run, if only these pools set limits."""
        if pools not in self._wholes:
            self._wholes[pools] = forecast_bulk(
                [one for of in self._able.values() for one in of],
                self._steps,
                self._there,
                self._draw,
                longest_s=max(self._longest_s.values(), default=0.0),
                pools=pools,
            )
        return self._wholes[pools]


def _bulks(
    unit: Unit, counts: Mapping[str, Mapping[int, int]], sizes: Mapping[str, int]
) -> dict[str, list[Bulk]]:
    """Return what is to be done of each pipeline, by steps, at the size that stands for all."""
    known = catalog(unit)
    return {
        name: [
            Bulk(step, n, sizes.get(name), needs_of(spec))
            for step, n in of_steps.items()
            if (spec := known.steps[step].spec) is not None
        ]
        for name, of_steps in counts.items()
    }


def _work_s(bulk: Bulk, steps: Mapping[Hashable, Step]) -> float:
    return bulk.n * bulk.needs.cpus * steps[bulk.step].curve.at(bulk.size)


def _earlier(whole: Forecast, part: float, longest_s: float) -> Forecast:
    """Return the end after that part of the way, or after the longest item where that is later."""
    return Forecast(*(min(max(one * part, longest_s), one) for one in whole))


def of_item(
    unit: Unit, item_id: int, ends: Mapping[Hashable, Forecast], *, open_tasks: int
) -> Forecast | None:
    """Return when the item ends, by what of its group's ready tasks comes before its own first one.

    `ends` are the `forecasts`. None where none of its tasks is ready, or nothing is known of it.
    """
    known, fits, shares = catalog(unit), book(unit).fits, catalog(unit).sharing.shares
    query = select(_T.c.step_id, _T.c.okey, _I.c.by_user, _I.c.size_bytes).join(
        _I, _I.c.id == _T.c.item_id
    )
    query = query.where(_T.c.item_id == item_id, _T.c.lane.is_not(None)).order_by(_T.c.okey)
    row = unit.execute(query).first()
    if row is None or row.step_id not in fits:
        return None
    pipeline = known.steps[row.step_id].pipeline
    group = shares.group(row.by_user, pipeline)
    whole = ends.get(Part(pipeline, group), ends.get(pipeline))
    if whole is None:
        return None
    lanes = {
        number
        for number, lane in _lanes(unit).items()
        if shares.group(lane.user, lane.pipeline) == group
    }
    before = _before(unit, row.okey, lanes, open_tasks=open_tasks)
    own_s, fit = rank_of(row.okey), fits[row.step_id]
    return Forecast(
        whole.eta_s * before + own_s,
        whole.low_s * before + own_s * math.exp(fit.residual(0.1, row.size_bytes)),
        whole.high_s * before + own_s * math.exp(fit.residual(0.9, row.size_bytes)),
    )


def _before(unit: Unit, okey: int, lanes: Collection[int], *, open_tasks: int) -> float:
    """Return what part of these lanes' tasks comes before one with this key."""
    if open_tasks > MANY:
        some = [key for lane, key in some_ready(unit)[0] if lane in lanes]
        if len(some) >= _SOME:
            return sum(key < okey for key in some) / len(some)
    before = func.coalesce(func.sum(case((_T.c.okey < okey, 1), else_=0)), 0)
    n, first = unit.execute(select(func.count(), before).where(_T.c.lane.in_(lanes))).one()
    return float(first) / max(float(n), 1.0)


def _parts(
    shares: Shares,
    work_s: Mapping[str, float],
    lanes: Mapping[int, _Lane],
    ready: Mapping[int, _Ready],
) -> dict[Part, float]:
    """Return what work each group has in each pipeline; users' parts are as those of what is ready."""
    if shares.by is not ShareBy.USER:
        return {Part(name, shares.group("", name)): took_s for name, took_s in work_s.items()}
    n: dict[Part, float] = {}
    of_all: dict[str, float] = {}
    for number, found in ready.items():
        lane = lanes[number]
        if lane.pipeline in work_s:
            part = Part(lane.pipeline, lane.user)
            n[part] = n.get(part, 0.0) + found.n
            of_all[lane.pipeline] = of_all.get(lane.pipeline, 0.0) + found.n
    return {part: work_s[part.pipeline] * n[part] / of_all[part.pipeline] for part in n}


def _through(shares: Shares, parts: Mapping[Part, float]) -> dict[str, float]:
    """Return when each group has done its work, in parts of the way of all."""
    of_groups: dict[str, float] = {}
    for part, took_s in parts.items():
        of_groups[part.group] = of_groups.get(part.group, 0.0) + took_s
    return parts_of_the_way(shares, of_groups)


def _lanes(unit: Unit) -> dict[int, _Lane]:
    """Return the lanes of all steps, by their ids."""
    known = catalog(unit)
    query = select(_L.c.id, _L.c.step_id, _L.c.share).where(_L.c.share.is_not(None))
    return {
        number: _Lane(step, known.steps[step].pipeline, user)
        for number, step, user in unit.execute(query)
        if step in known.steps
    }


def _ready(unit: Unit, lanes: Collection[int], *, open_tasks: int) -> dict[int, _Ready]:
    """Return what is ready in these lanes.

    Of many only some are looked at, as a look through a million takes a quarter of a second on a
    server; and all of those lanes of which none was among them.
    """
    ranks: dict[int, list[float]] = {}
    each = 1.0
    if open_tasks > MANY:
        some, each = some_ready(unit)
        for lane, okey in some:
            ranks.setdefault(lane, []).append(rank_of(okey))
    found = {
        one: _Ready(len(ranks[one]) * each, fmean(ranks[one])) for one in ranks if one in lanes
    }
    mean_ms = func.avg((-_T.c.okey).bitwise_and(_MASK))
    query = select(_T.c.lane, func.count(), mean_ms).group_by(_T.c.lane)
    rest = [one for one in lanes if one not in found]
    for lane, n, mean in unit.execute(query.where(_T.c.lane.in_(rest))) if rest else ():
        found[lane] = _Ready(float(n), float(mean) / 1000)
    return found


def _typical_sizes(
    reckoned: Book, lanes: Mapping[int, _Lane], ready: Mapping[int, _Ready]
) -> dict[str, int]:
    """Return for each pipeline a size whose rank is the mean of its ready tasks' ranks.

    Only of those whose ranks say something: others are tried soon, whatever they take.
    """
    sums: dict[str, tuple[float, float]] = {}
    for number, found in ready.items():
        lane = lanes[number]
        size = (
            _size_of_rank(reckoned, lane.step, found.mean_s) if lane.step in reckoned.fits else None
        )
        if size is not None:
            n, total = sums.get(lane.pipeline, (0.0, 0.0))
            sums[lane.pipeline] = n + found.n, total + found.n * size
    return {name: round(total / n) for name, (n, total) in sums.items()}


def _longest(unit: Unit, reckoned: Book, lanes: Mapping[int, _Lane]) -> dict[str, float]:
    """Return the longest rank of each pipeline's ready tasks, in seconds."""
    first = select(func.min(_T.c.okey)).where(_T.c.lane == _L.c.id).scalar_subquery()
    heads = select(_L.c.id, first).where(_L.c.id.in_([n for n in lanes if lanes[n].step in reckoned.fits]))  # fmt: skip
    longest_s: dict[str, float] = {}
    for number, key in unit.execute(heads):
        if key is not None:
            name = lanes[number].pipeline
            longest_s[name] = max(longest_s.get(name, 0.0), rank_of(key))
    return longest_s


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
