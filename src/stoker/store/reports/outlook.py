"""What clients of a pipeline may expect: how long its jobs take, how many wait, and when one is over.

All of it is computed from what is learned of the steps. A look costs the same however many wait, so
that many may ask: see `turns`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select

from stoker.model.forecast import needs_of
from stoker.model.pipeline import Step
from stoker.model.states import AttemptState, ItemState, TaskState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.forecasts import open_work
from stoker.store.forecasts.estimates import Book, book
from stoker.store.reports import turns
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Prepared, Unit, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _A = tables.task, tables.item, tables.attempt
_OWN = Prepared(
    select(
        _T.c.id, _T.c.step_id, _T.c.state, _T.c.lane, _T.c.okey, _T.c.expected_ms, _A.c.claimed_us
    )
    .select_from(
        _T.join(_I, _I.c.id == _T.c.item_id).outerjoin(_A, _A.c.id == _T.c.attempt)
    )
    .where(_I.c.pipeline_id == param("pipeline"), _I.c.key == param("key"))
)  # fmt: skip
_RUNNING = Prepared(
    select(_T.c.step_id, _T.c.expected_ms, _A.c.claimed_us)
    .select_from(_A.join(_T, and_(_T.c.id == _A.c.task_id, _T.c.attempt == _A.c.id)))
    .where(_A.c.state == AttemptState.RUNNING.value)
    .limit(turns.MOST)
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What to expect of a pipeline: `waiting` of its items wait.

    Half of its jobs run no longer than `typical_s`, nine in ten no longer than `most_s`; both are None
    while nothing is known of a step.
    """

    typical_s: float | None
    most_s: float | None
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What to expect of one job. `place`: 1 for the one that is next; None unless it waits in the queue.

    `is_far`: there are more before it than were counted, and `place` is the least that it can be.
    `ends_in_s` is None where nothing is known of a step, or there is nobody to run it.
    """

    place: int | None = None
    is_far: bool = False
    ends_in_s: float | None = None


def usual(store: "Store") -> Mapping[str, Usual]:
    """Return what to expect of each pipeline, by its name."""
    with store.reading() as unit:
        known, reckoned = catalog(unit), book(unit)
        waiting = {
            row.pipeline_id: row.n
            for row in unit.execute(
                select(tables.item_tally).where(
                    tables.item_tally.c.state == ItemState.WAITING.value
                )
            )
        }
        return {
            name: _usual(known.of_pipeline(name), reckoned, waiting.get(pipeline_id, 0))
            for name, pipeline_id in known.pipeline_ids.items()
        }


def _usual(entries: Sequence[StepEntry], reckoned: Book, waiting: int) -> Usual:
    fits = {entry.id: reckoned.fits.get(entry.id) for entry in entries}
    ends = []
    for share in (0.5, 0.9):
        took = {
            id_: None if fit is None else fit.seconds(None) * math.exp(fit.residual(share))
            for id_, fit in fits.items()
        }
        ends.append(_longest_way(entries, took))
    typical_s, most_s = ends
    return Usual(typical_s=typical_s, most_s=most_s, waiting=waiting)


def _longest_way(entries: Iterable[StepEntry], took_s: Mapping[int, float | None]) -> float | None:
    """Return when the last step ends where each begins behind its predecessors; None if unknown."""
    ends: dict[int, float] = {}
    for entry in entries:  # predecessors first
        own_s = took_s.get(entry.id, 0.0)
        if own_s is None:
            return None
        ends[entry.id] = own_s + max((ends.get(one, 0.0) for one in entry.predecessors), default=0)
    return max(ends.values(), default=0.0)


def outlook(store: "Store", pipeline: str, key: str) -> Outlook:
    """Return what to expect of the job, as of now; of one that is over, or unknown, nothing."""
    with store.reading() as unit:
        known, reckoned = catalog(unit), book(unit)
        pipeline_id = known.pipeline_ids.get(pipeline)
        rows = unit.run(_OWN, pipeline=pipeline_id, key=key).fetchall()
        tasks = {row[1]: row for row in rows if row[1] in known.steps}
        states = {step: TaskState(row[2]) for step, row in tasks.items()}
        is_open = any(
            state in (TaskState.READY, TaskState.RUNNING, TaskState.BLOCKED)
            for state in states.values()
        )
        if not is_open or {TaskState.FAILED, TaskState.HELD} & set(states.values()):
            return Outlook()
        left_s = _longest_way(
            known.of_pipeline(pipeline),
            {step: _left_s(unit, states[step], row[5], row[6]) for step, row in tasks.items()},
        )
        ready = [row for row in tasks.values() if row[3] is not None]
        if not ready or TaskState.RUNNING in states.values():
            return Outlook(ends_in_s=left_s)
        first = min(ready, key=lambda row: (row[4], row[0]))
        ahead, wait_s = _queue(unit, known, reckoned, first)
        is_known = left_s is not None and wait_s is not None and not ahead.is_more
        return Outlook(
            place=ahead.n + 1,
            is_far=ahead.is_more,
            ends_in_s=left_s + wait_s if is_known else None,  # type: ignore[operator]  # is_known
        )


def _left_s(
    unit: Unit, state: TaskState, expected_ms: int | None, claimed_us: int | None
) -> float | None:
    """Return how long a task still runs; None where nothing is known of it."""
    if state.is_satisfied:
        return 0.0
    if expected_ms is None:
        return None
    if state is TaskState.RUNNING and claimed_us is not None:
        return max(expected_ms / 1000 - (unit.now_us - claimed_us) / 1e6, 0.0)
    return expected_ms / 1000


def _queue(
    unit: Unit, known: Catalog, reckoned: Book, first: Any
) -> tuple[turns.Ahead, float | None]:
    """Return what comes before this task, and how long it waits for its turn.

    Those count that wait for the same: workers with the same tags, and slots of the same pools.
    """
    spec = known.steps[first[1]].spec
    if spec is None:
        return turns.Ahead(0, 0.0), None
    rivals = {
        entry.id
        for entry in known.steps.values()
        if entry.spec is not None and _wanted(entry.spec) == _wanted(spec)
    }
    place = turns.Place(lane=first[3], okey=first[4], id=first[0])
    ahead = turns.ahead_of(unit, known, place, rivals | {first[1]})
    needs = needs_of(spec)
    _, there = open_work.fleet(unit, reckoned)
    at_once = sum(host.holds(needs) for host in there.hosts)
    for pool, slots in needs.pools:
        at_once = min(at_once, there.pool_slots.get(pool, 0) // max(slots, 1))
    if at_once <= 0:
        return ahead, None
    running = [row for row in unit.run(_RUNNING).fetchall() if row[0] in rivals]
    if ahead.n + len(running) < at_once:
        return ahead, 0.0
    work_s = ahead.work_s + sum(
        _left_s(unit, TaskState.RUNNING, expected_ms, claimed_us) or 0.0
        for _, expected_ms, claimed_us in running
    )
    return ahead, work_s / at_once


def _wanted(spec: Step) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(spec.needs), frozenset(spec.pools)
