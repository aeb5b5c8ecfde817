"""What attempts have taken, and what follows for tasks: their expected times and their order.

Kept off the way of claims and finishes: every few seconds (`store/forecasts/reordering.py`) one of the store's
processes reads which attempts have ended since, by the journal, and fits what they tell. All of it is
derived: losing it loses nothing, so that the journal does not speak of it.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import and_, insert, select, update

from stoker.model.curve import UNKNOWN, Curve
from stoker.model.estimate import Fit, Observation, fit, host_speeds
from stoker.model.line import PRIOR_SLOPE, PRIOR_SPREAD
from stoker.model.rank import order_key, probing, rank_curves
from stoker.model.spread import EVEN, Spread
from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.steps import Catalog
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

ROWS = 20_000  # of the journal, read at a time
SEEN_AT_ONCE = 64  # attempts of a step that one look takes in, evenly chosen
SAMPLE = 400  # attempts kept of a step; the older, the more thinly
FITS_AT_ONCE = 8
FRESH_S = 3.0  # how long a process goes by what it has read of the estimates

_T, _I, _A, _J, _W, _H = (
    tables.task, tables.item, tables.attempt, tables.journal, tables.worker, tables.head,
)  # fmt: skip
_ENDS = Prepared(
    select(_J.c.pipeline, _J.c.step, _J.c.attempt).where(
        _J.c.origin == param("origin"),
        _J.c.epoch == param("epoch"),
        _J.c.seq > param("after"),
        _J.c.seq <= param("to"),
        _J.c.attempt.is_not(None),
        _J.c.event != "claim",
    )
)
_TOOK = Prepared(
    select(
        _A.c.id, _A.c.state, _A.c.started_us, _A.c.ended_us, _T.c.step_id, _T.c.body_id,
        _I.c.size_bytes, _W.c.host,
    )
    .select_from(
        _A.join(_T, _T.c.id == _A.c.task_id)
        .join(_I, _I.c.id == _T.c.item_id)
        .outerjoin(_W, _W.c.id == _A.c.worker_id)
    )
    .where(_A.c.id.in_(param_list("attempts")), _A.c.kind == 0)
)  # fmt: skip


_HOW: Mapping[int, int] = {  # what an attempt shows of its step; others show nothing
    AttemptState.SUCCEEDED: 0,
    AttemptState.TIMED_OUT: 1,
    AttemptState.FAILED: 2,
    AttemptState.OUT_OF_MEMORY: 2,
}


class Took(NamedTuple):
    """One attempt as it is kept: what `Observation` has, with the body it ran.

    `how` it ended: 0 well, 1 at its time limit, 2 failed.
    """

    size: int | None
    ms: int
    host: str
    body_id: int
    how: int


@dataclass(frozen=True, slots=True)
class Book:
    """The estimates of the steps of all pipelines, by their ids.

    `own` and `ranks` have a curve for every step; a step without history has one made from the
    others' of its pipeline, or from the size alone. `fits` are of those with history only.
    """

    fits: Mapping[int, Fit]
    own: Mapping[int, Curve]
    ranks: Mapping[int, Curve]
    speeds: Mapping[str, float] = field(default_factory=dict)

    def expected_s(self, step_id: int, size: int | None) -> float | None:
        """Return how long an attempt takes; None where no attempt of the step has succeeded."""
        found = self.fits.get(step_id)
        return None if found is None else found.seconds(size)

    def expected_ms(self, step_id: int, size: int | None) -> int | None:
        """The same, as a task has it."""
        found = self.expected_s(step_id, size)
        return None if found is None else round(found * 1000)

    def order_key(self, step_id: int, size: int | None, priority: int) -> int:
        """Return what a task is claimed by."""
        return order_key(priority, self.ranks[step_id].at(size))


@dataclass(slots=True)
class _Known:
    read_s: float
    catalog: Catalog
    book: Book


_books: "WeakKeyDictionary[Store, _Known]" = WeakKeyDictionary()


def book(unit: Unit) -> Book:
    """Return the estimates, at most three seconds old."""
    steps = catalog(unit)
    known = _books.get(unit.store)
    now_s = time.monotonic()
    if known is None or known.catalog is not steps or now_s - known.read_s > FRESH_S:
        known = _Known(now_s, steps, _read_book(unit, steps))
        _books[unit.store] = known
    return known.book


def forget(store: "Store") -> None:
    """The next look at the book reads it again."""
    _books.pop(store, None)


def fits(unit: Unit) -> dict[int, Fit]:
    """Return what attempts have shown of the steps, by their ids."""
    table = tables.estimate
    rows = unit.execute(select(table.c.step_id, table.c.fitted).where(table.c.fitted.is_not(None)))
    return {row.step_id: load_fit(row.fitted) for row in rows}


def _read_book(unit: Unit, known: Catalog) -> Book:
    found = fits(unit)
    speeds = {row.host: row.factor for row in unit.execute(select(tables.host_speed))}
    own: dict[int, Curve] = {}
    ranks: dict[int, Curve] = {}
    for of_pipeline in known.pipeline_ids:
        steps = known.of_pipeline(of_pipeline)
        ids = {entry.id for entry in steps}
        curves = curves_of({entry.id: found.get(entry.id) for entry in steps})
        after = {entry.id: [s for s in entry.successors if s in ids] for entry in steps}
        own |= curves
        ranks |= probing(rank_curves(after, curves), after, ids - found.keys())
    for entry in known.steps.values():  # removed ones, of which an attempt may still run
        own.setdefault(entry.id, UNKNOWN)
        ranks.setdefault(entry.id, own[entry.id])
    return Book(found, own, ranks, speeds)


def curves_of(known_fits: Mapping[int, Fit | None]) -> dict[int, Curve]:
    """Return a curve for each step of one pipeline; what is not known is like the others' mean."""
    known = [found.expected for found in known_fits.values() if found is not None]
    other = UNKNOWN
    if known:
        sizes = sorted({size for curve in known for size in curve.sizes})
        seconds = tuple(sum(curve.at(size) for curve in known) / len(known) for size in sizes)
        without = sum(curve.without_size for curve in known) / len(known)
        other = Curve(tuple(sizes), seconds, without)
    return {step: other if found is None else found.expected for step, found in known_fits.items()}


def catch_up(store: "Store", *, limit_s: float) -> None:
    """What has ended is learned, as far as the time goes. The fold comes first: it numbers the rows."""
    until_s = time.monotonic() + limit_s
    while learn(store) and time.monotonic() < until_s:
        pass


def learn(store: "Store") -> bool:
    """Take in what has ended since; return whether there is more. Reads first, then writes at once."""
    with store.reading() as unit:
        own = and_(_H.c.origin == store.site, _H.c.epoch == store.epoch)
        head = unit.execute(select(_H.c.seq, _H.c.learned).where(own)).one()
        to = min(head.seq, head.learned + ROWS)
        if to <= head.learned:
            return False
        samples, changed = _taken_in(unit, head.learned, to)
        written, speeds = _fitted(unit, samples, changed)
    _write(store, head.learned, to, written, speeds)
    forget(store)
    return bool(to < head.seq)


def _taken_in(unit: Unit, after: int, to: int) -> tuple[dict[int, list[Took]], dict[int, int]]:
    """Return the samples of steps of which attempts have ended, with these, and how many are new."""
    ends = unit.run(
        _ENDS, origin=unit.store.site, epoch=unit.store.epoch, after=after, to=to
    ).fetchall()
    by_step: dict[tuple[str, str], list[bytes]] = {}
    for pipeline, step, attempt in ends:
        by_step.setdefault((pipeline, step), []).append(bytes(attempt))
    chosen = sorted(
        attempt
        for several in by_step.values()
        for attempt in several[:: -(-len(several) // SEEN_AT_ONCE)]
    )
    known = catalog(unit)
    fresh: dict[int, list[tuple[int, Took]]] = {}
    for at in range(0, len(chosen), 500):
        for row in unit.run(_TOOK, attempts=chosen[at : at + 500]).fetchall():
            _attempt, state, started_us, ended_us, step_id, body_id, size, host = row
            if started_us is None or state not in _HOW:
                continue
            how = _HOW[state]
            body = body_id if how == 0 and body_id else known.steps[step_id].body_id
            ms = max(ended_us - started_us, 0) // 1000
            took = Took(size, ms, host or "", body, how)
            fresh.setdefault(step_id, []).append((ended_us, took))
    kept = _samples(unit, sorted(fresh))
    for step_id, several in fresh.items():
        several.sort(key=itemgetter(0))
        kept[step_id] = thinned([*kept.get(step_id, []), *(took for _, took in several)])
    return kept, {step_id: len(several) for step_id, several in fresh.items()}


def _samples(unit: Unit, steps: Sequence[int]) -> dict[int, list[Took]]:
    if not steps:
        return {}
    table = tables.estimate
    query = select(table.c.step_id, table.c.sample).where(table.c.step_id.in_(steps))
    return {
        row.step_id: [Took(*one) for one in json.loads(row.sample)] for row in unit.execute(query)
    }


def thinned(sample: list[Took]) -> list[Took]:
    """Leave out every second of the older three quarters, as often as there are too many."""
    while len(sample) > SAMPLE:
        old = len(sample) * 3 // 4
        sample = sample[:old:2] + sample[old:]
    return sample


def _fitted(
    unit: Unit, samples: Mapping[int, list[Took]], changed: Mapping[int, int]
) -> tuple[dict[int, tuple[str, str | None]], dict[str, float]]:
    """Return each step's new sample and fit as texts (None: the fit stays), and hosts' speeds."""
    known = catalog(unit)
    speeds = {row.host: row.factor for row in unit.execute(select(tables.host_speed))}
    due = sorted(changed, key=lambda step: changed[step], reverse=True)[:FITS_AT_ONCE]
    written: dict[int, tuple[str, str | None]] = {}
    runs = []
    for step_id, sample in samples.items():
        text = None
        if step_id in due:
            body = known.steps[step_id].body_id
            seen = observations(sample, body)
            found = fit(seen, speeds)
            if found is not None:
                runs.append((found, seen))
                text = dump_fit(found)
        written[step_id] = json.dumps(sample, separators=(",", ":")), text
    hosts = {one.host for _, seen in runs for one in seen} | set(speeds)
    return written, host_speeds(runs, speeds) if len(hosts) > 1 else {}


def with_running(unit: Unit, running: Mapping[int, Sequence[Observation]]) -> dict[int, Fit]:
    """Return fits of these steps that know of their running attempts too.

    What has ended so far was shorter than what still runs: without it, forecasts would be too early.
    """
    known = catalog(unit)
    speeds = book(unit).speeds
    found = {}
    for step, sample in _samples(unit, sorted(running)).items():
        seen = observations(sample, known.steps[step].body_id)
        refitted = fit([*seen, *running[step]], speeds)
        if refitted is not None:
            found[step] = refitted
    return found


def observations(sample: Sequence[Took], body_id: int) -> list[Observation]:
    """Return a sample as the fit wants it, for a step that has this body now."""
    return [
        Observation(
            one.size,
            one.ms / 1000,
            one.host,
            one.body_id == body_id,
            is_censored=one.how == _HOW[AttemptState.TIMED_OUT],
            has_failed=one.how > 0,
        )
        for one in sample
    ]


@as_a_whole
def _write(
    store: "Store",
    before: int,
    to: int,
    written: Mapping[int, tuple[str, str | None]],
    speeds: Mapping[str, float],
) -> None:
    """The samples and fits are in the store, unless another process has learned meanwhile."""
    table, hosts = tables.estimate, tables.host_speed
    with store.writing(durable=False) as unit:
        ours = and_(_H.c.origin == store.site, _H.c.epoch == store.epoch, _H.c.learned == before)
        if not unit.execute(update(_H).where(ours).values(learned=to)).rowcount:
            return
        for step_id, (sample, fitted) in sorted(written.items()):
            values = {"sample": sample} | ({"fitted": fitted} if fitted else {})
            done = unit.execute(update(table).where(table.c.step_id == step_id).values(**values))
            if not done.rowcount:
                unit.execute(insert(table).values(step_id=step_id, **values))
        for host, factor in sorted(speeds.items()):
            done = unit.execute(update(hosts).where(hosts.c.host == host).values(factor=factor))
            if not done.rowcount:
                unit.execute(insert(hosts).values(host=host, factor=factor))


def dump_fit(found: Fit) -> str:
    """Return a fit as text."""
    curve = found.expected
    data = {
        "n": found.n,
        "sizes": curve.sizes,
        "seconds": [round(s, 6) for s in curve.seconds],
        "without": round(curve.without_size, 6),
        "residuals": [round(r, 4) for r in found.residuals],
        "errors": [round(found.level_error, 4), round(found.slope_error, 4)],
        "center": round(found.center, 4),
        "seen": [round(x, 4) for x in found.seen],
        "low": [round(found.low_slope, 4), round(found.low_error, 4)],
        "spread": [round(one, 4) for one in (*found.spread, found.log_mean)],
        "failing": [round(found.failing, 4), round(found.failed_part, 4)],
    }
    return json.dumps(data, separators=(",", ":"))


def load_fit(text: str) -> Fit:
    """Return the fit of that text."""
    data = json.loads(text)
    curve = Curve(tuple(data["sizes"]), tuple(data["seconds"]), data["without"])
    level, slope = data["errors"]
    low_slope, low_error = data.get("low", (PRIOR_SLOPE, PRIOR_SPREAD))  # older fits have none
    *spread, log_mean = data.get("spread", (*EVEN, 0.0))
    failing, failed_part = data.get("failing", (0.0, 1.0))
    return Fit(
        n=data["n"],
        expected=curve,
        residuals=tuple(data["residuals"]),
        level_error=level,
        slope_error=slope,
        center=data["center"],
        seen=(data["seen"][0], data["seen"][1]),
        low_slope=low_slope,
        low_error=low_error,
        spread=Spread(*spread),
        log_mean=log_mean,
        failing=failing,
        failed_part=failed_part,
    )
