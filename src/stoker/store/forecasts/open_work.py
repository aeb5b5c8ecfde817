"""What is left to do and who is there to do it, as the forecast wants them."""

import json
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    and_,
    or_,
    select,
)

from stoker.model.estimate import Fit, Observation
from stoker.model.forecast import Forecast, Open, Step, forecast, needs_of
from stoker.model.simulate import Fleet, Host, fleet_of
from stoker.model.states import AttemptState, TaskState, WorkerState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.forecasts import by_totals
from stoker.store.forecasts.estimates import Book, book, with_running
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Unit

EXACT = 1_500  # open tasks: with more, only totals are looked at
_PIECE = 500

_T, _I, _A, _W = tables.task, tables.item, tables.attempt, tables.worker
_BACK_OFF = and_(_T.c.not_before_us.is_not(None), _T.c.state == TaskState.READY.value)


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task still to be done, with whose it is, and the host that it belongs to, if it does to one."""

    item_id: int
    step_id: int
    pipeline: str
    by_user: str
    task: Open
    host: str | None = None

    def on(self, hosts: Sequence[str]) -> Open:
        """Return the task with the place of its host among these; a host that is away counts as none."""
        if self.host not in hosts:
            return self.task
        needs = self.task.needs._replace(host=hosts.index(self.host))
        return self.task._replace(needs=needs)


def fleet(unit: Unit, known: Book) -> tuple[list[str], Fleet]:
    """Return the names of the living workers' hosts, and their slots and those of the pools now."""
    alive = _W.c.state == WorkerState.ALIVE.value
    workers: dict[str, list[Any]] = {}
    for row in unit.execute(select(_W).where(alive).order_by(_W.c.host)):
        workers.setdefault(row.host, []).append(row)
    hosts = [_host(of_host, known.speeds.get(name, 1.0)) for name, of_host in workers.items()]
    sharing = catalog(unit).sharing
    there = fleet_of(hosts, sharing.pools().values(), unit.now_us, sharing.shares)
    return list(workers), there


def _host(workers: Sequence[Any], speed: float) -> Host:
    """Return what these workers of one host are together: they share its cpus and memory."""
    most = max(max(one.slots, one.cpus) for one in workers)
    return Host(
        min(sum(one.slots for one in workers), most),
        speed,
        memory_bytes=max(one.memory_bytes for one in workers),
        tags=frozenset(tag for one in workers for tag in json.loads(one.tags or "[]")),
    )


def steps_of(known: Catalog, reckoned: Book) -> dict[Hashable, Step]:
    """Return the estimates of every step, by its id."""
    return {
        step: Step(reckoned.own[step], reckoned.fits.get(step), _retries(entry))
        for step, entry in known.steps.items()
    }


def _retries(entry: StepEntry) -> int:
    return 0 if entry.spec is None else entry.spec.retries


def forecasts(
    unit: Unit, counts: Mapping[str, Mapping[int, int]], *, by_item: bool = False
) -> tuple[dict[Hashable, Forecast], list[OpenTask] | None]:
    """Return for each pipeline when its last task ends, with the fleet that is there.

    `counts`: how many tasks of each step are going to run, by pipeline. Left out are pipelines of
    which nothing is left, of which nothing is known, or for which there is nobody. The open tasks
    come with it where they are few enough to be looked at one by one; then the forecasts may be
    those of items instead, by their ids.
    """
    total = _sum(counts)
    if not total:
        return {}, None
    known, reckoned = catalog(unit), book(unit)
    hosts, there = fleet(unit, reckoned)
    if not there.hosts:
        return {}, None
    steps = steps_of(known, reckoned)
    draw = random.Random(total).random  # noqa: S311 - so that the same state has the same forecast
    told = {known.steps[step].pipeline for step in reckoned.fits if step in known.steps}
    found = open_tasks(unit, known, limit=EXACT) if total <= EXACT else None
    if found is None:
        return by_totals.forecasts(unit, counts, told, steps, there, draw), None
    steps |= {
        step: steps[step]._replace(curve=fitted.expected, fit=fitted)
        for step, fitted in _told_by_running(unit, found).items()
    }
    tasks = [
        one.on(hosts)._replace(group=one.item_id if by_item else one.pipeline) for one in found
    ]
    of_told = {task.group for task, one in zip(tasks, found, strict=True) if one.pipeline in told}
    ends = forecast(tasks, steps, there, draw)
    return {group: one for group, one in ends.items() if group in of_told}, found


def of_item(unit: Unit, item_id: int, counts: Mapping[str, Mapping[int, int]]) -> Forecast | None:
    """Return when the last task of the item ends; None where nothing of it is going to run."""
    ends, found = forecasts(unit, counts, by_item=True)
    if found is not None:
        return ends.get(item_id)
    return by_totals.of_item(unit, item_id, ends, open_tasks=_sum(counts))


def _sum(counts: Mapping[str, Mapping[int, int]]) -> int:
    return sum(n for of_steps in counts.values() for n in of_steps.values())


def _told_by_running(unit: Unit, found: Sequence[OpenTask]) -> dict[int, Fit]:
    """Return the estimates of the steps that run now, knowing how long they have."""
    running: dict[int, list[Observation]] = {}
    for one in found:
        if one.task.elapsed_s:
            elapsed_s = one.task.elapsed_s * one.task.speed
            seen = Observation(one.task.size, elapsed_s, is_censored=True)
            running.setdefault(one.step_id, []).append(seen)
    return with_running(unit, running)


def open_tasks(
    unit: Unit, known: Catalog, *, limit: int, pipeline: str | None = None
) -> list[OpenTask] | None:
    """Return all tasks that are going to run, each behind its predecessors; None if over `limit`.

    What stands behind a failure, or is held, is not going to run.
    """
    running = {
        row.task_id: row
        for row in unit.execute(
            select(_A.c.task_id, _A.c.started_us, _W.c.host)
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
            found[at].by_user,
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
            _T.c.id,
            _T.c.item_id,
            _T.c.step_id,
            _T.c.state,
            _T.c.okey,
            _T.c.level,
            _T.c.host,
            _I.c.size_bytes,
            _I.c.by_user,
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
            # What has not started waits in a worker's hand, or has done so until a moment ago.
            elapsed_s = (unit.now_us - (attempt.started_us or unit.now_us)) / 1e6
        places[step_id] = first + len(found)
        one = Open(
            step=step_id,
            size=row.size_bytes,
            order=float(row.okey),
            needs=needs_of(entry.spec, level=row.level),
            after=tuple(places[b] for b in before if b in places),
            elapsed_s=elapsed_s,
            speed=speeds.get(attempt.host, 1.0) if attempt is not None else 1.0,
            share=known.sharing.shares.group(row.by_user, entry.pipeline),
            together=(item_id, entry.together) if len(entry.together) > 1 else None,
        )
        found.append(OpenTask(item_id, step_id, entry.pipeline, row.by_user, one, row.host))
    return found
