"""Counts for people and programs. Nothing here changes anything but the journal's fold.

Counts come from the tallies, which the fold keeps, so that they cost the same with a million tasks
as with ten.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, select

from stoker.model.lease_kind import LeaseKind
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState, WorkerState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.arrivals.source_rows import source_rows
from stoker.store.forecasts.freshness import LEARN_LIMIT_S, catch_up
from stoker.store.groups import summaries
from stoker.store.holdings.pools import pool_counts
from stoker.store.outposts.listed import site_status
from stoker.store.pilots.listed import batch_status
from stoker.store.reports import asides
from stoker.store.status_rows import PipelineStatus, Status, WorkerRow
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.model.forecast import Forecast
    from stoker.store.unit import Store

_T, _I, _P, _S, _A, _W = (
    tables.task, tables.item, tables.pipeline, tables.step, tables.attempt, tables.worker,
)  # fmt: skip
_L, _PW = tables.pilot, tables.pilot_worker
FOLD_LIMIT_S = 10.0
_STILL = (TaskState.FAILED, TaskState.HELD, TaskState.CANCELLED)


def status(store: "Store", *, pipeline: str | None = None) -> Status:
    """Return how many items and tasks stand where, after folding what has happened since.

    A store that cannot be written just now returns its last state.
    """
    catch_up(store, fold_s=FOLD_LIMIT_S, learn_s=LEARN_LIMIT_S)
    with store.reading() as unit:
        if pipeline is not None:
            selections.check(unit, Selection(pipeline=pipeline))
        steps = _steps(unit)
        tallies = _tallies(unit)
        items = _item_tallies(unit)
        error_folders = asides.error_folders(unit)
        groups = summaries.counts(unit)
        missing = asides.missing_outputs(unit)
        value_tables = asides.value_tables(unit)
        ends = _ends(unit, _left_to_do(steps, tallies, _ancestors(unit)))
        return Status(
            pipelines={
                name: replace(
                    _pipeline_status(of_steps, tallies, items.get(id_, {}), ends.get(name)),
                    error_folders=error_folders.get(id_, 0),
                    groups=groups.get(name),
                    missing=missing.get(id_, 0),
                    tables=value_tables.get(id_, {}),
                )
                for (name, id_), of_steps in steps.items()
                if pipeline in (None, name)
            },
            pools=pool_counts(unit),
            workers=tuple(_workers(unit, only_alive=True)),
            sources=tuple(source_rows(unit, pipeline)),
            batch=batch_status(unit),
            sites=site_status(unit),
            notify=asides.notifiers(unit),
        )


def _ends(unit: Unit, left: Mapping[str, Mapping[int, int]]) -> "Mapping[Any, Forecast]":
    """Return when each pipeline ends of which something is left."""
    if not left:
        return {}
    from stoker.store.forecasts import open_work

    return open_work.forecasts(unit, left)[0]


def task_counts(store: "Store") -> dict[str, int]:
    """Return how many tasks of the whole store are in each state, and nothing else of `status`."""
    catch_up(store, fold_s=FOLD_LIMIT_S)
    with store.reading() as unit:
        query = (
            select(tables.tally.c.state, func.sum(tables.tally.c.n))
            .join(_S, _S.c.id == tables.tally.c.step_id)
            .where(~_S.c.is_removed)
            .group_by(tables.tally.c.state)
        )
        found = {state: int(n) for state, n in unit.execute(query).fetchall()}
    return {state.word: found.get(state.value, 0) for state in TaskState}


def workers(store: "Store", *, everyone: bool = False) -> list[WorkerRow]:
    """Return the workers that are alive, or with `everyone` all that ever were; oldest first."""
    with store.reading() as unit:
        return list(_workers(unit, only_alive=not everyone))


def _tallies(unit: Unit) -> dict[int, dict[tuple[int, int], int]]:
    """Return the counts of tasks by step, then by state and body."""
    found: dict[int, dict[tuple[int, int], int]] = {}
    for row in unit.execute(select(tables.tally)):
        found.setdefault(row.step_id, {})[row.state, row.body_id] = row.n
    return found


def _item_tallies(unit: Unit) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    for row in unit.execute(select(tables.item_tally)):
        found.setdefault(row.pipeline_id, {})[row.state] = row.n
    return found


def _steps(unit: Unit) -> dict[tuple[str, int], list[Any]]:
    """Return the steps of every pipeline, by its name and id, without reading what they do."""
    lane = tables.lane
    query = (
        select(_P.c.name.label("pipeline"), _P.c.id.label("pipeline_id"), _S, lane.c.cpus)
        .select_from(
            _P.outerjoin(_S, and_(_S.c.pipeline_id == _P.c.id, ~_S.c.is_removed)).outerjoin(
                lane,
                and_(lane.c.step_id == _S.c.id, lane.c.level == 0, lane.c.share.is_(None)),
            )
        )
        .order_by(_P.c.name, _S.c.position)
    )
    found: dict[tuple[str, int], list[Any]] = {}
    for row in unit.execute(query):
        of_pipeline = found.setdefault((row.pipeline, row.pipeline_id), [])
        if row.id is not None:
            of_pipeline.append(row)
    return found


def _pipeline_status(
    entries: Sequence[Any],
    tallies: Mapping[int, Mapping[tuple[int, int], int]],
    of_items: Mapping[int, int],
    ends: "Forecast | None",
) -> PipelineStatus:
    steps = {entry.name: _by_state(tallies.get(entry.id, {})) for entry in entries}
    outdated = sum(
        n
        for entry in entries
        for (state, body), n in tallies.get(entry.id, {}).items()
        if state == TaskState.DONE and body != entry.body_id
    )
    return PipelineStatus(
        items={state.word: of_items.get(state.value, 0) for state in ItemState},
        tasks={word: sum(counts[word] for counts in steps.values()) for word in TaskState.words()},
        steps=steps,
        outdated=outdated,
        eta_s=round(ends.eta_s, 3) if ends else None,
        eta_interval_s=(round(ends.low_s, 3), round(ends.high_s, 3)) if ends else None,
    )


def _by_state(counts: Mapping[tuple[int, int], int]) -> dict[str, int]:
    found = dict.fromkeys(TaskState.words(), 0)
    for (state, _body), n in counts.items():
        found[TaskState(state).word] += n
    return found


def left_to_do(unit: Unit) -> dict[str, dict[int, int]]:
    """Return how many tasks of each step are going to run, by pipeline, as of the last fold."""
    return _left_to_do(_steps(unit), _tallies(unit), _ancestors(unit))


def _left_to_do(
    steps: Mapping[tuple[str, int], Sequence[Any]],
    tallies: Mapping[int, Mapping[tuple[int, int], int]],
    before: Mapping[int, set[int]],
) -> dict[str, dict[int, int]]:
    """Return how many tasks of each step are going to run, by pipeline.

    What is blocked behind something that stands still is not going to.
    """
    found: dict[str, dict[int, int]] = {}
    for (pipeline, _id), entries in steps.items():
        counts = {entry.id: _by_state(tallies.get(entry.id, {})) for entry in entries}
        still = {step: sum(n[state.word] for state in _STILL) for step, n in counts.items()}
        for step, n in counts.items():
            stuck = sum(still.get(one, 0) for one in before.get(step, ()))
            left = max(n["blocked"] - stuck, 0) + n["ready"] + n["running"]
            if left:
                found.setdefault(pipeline, {})[step] = left
    return found


def _ancestors(unit: Unit) -> dict[int, set[int]]:
    """Return for each step all that come before it, near and far."""
    edge = tables.edge
    near: dict[int, set[int]] = {}
    for row in unit.execute(select(edge)):
        near.setdefault(row.successor_id, set()).add(row.step_id)
    found: dict[int, set[int]] = {}

    def of(step: int) -> set[int]:
        if step not in found:
            found[step] = set()
            for one in near.get(step, ()):
                found[step] |= {one} | of(one)
        return found[step]

    for step in near:
        of(step)
    return found


def _workers(unit: Unit, *, only_alive: bool) -> Iterator[WorkerRow]:
    running = (
        select(_A.c.worker_id, func.count().label("n"))
        .where(_A.c.state == AttemptState.RUNNING.value)
        .group_by(_A.c.worker_id)
        .subquery()
    )
    query = (
        select(_W, func.coalesce(running.c.n, 0).label("running"), _L.c.uid.label("pilot"))
        .select_from(
            _W.outerjoin(running, running.c.worker_id == _W.c.id)
            .outerjoin(_PW, _PW.c.worker_id == _W.c.id)
            .outerjoin(_L, _L.c.id == _PW.c.pilot_id)
        )
        .where(_W.c.lease_kind == LeaseKind.HEARTBEAT.value)  # others stand for a whole site
        .order_by(_W.c.id)
    )
    if only_alive:
        query = query.where(_W.c.state == WorkerState.ALIVE.value)
    for row in unit.execute(query):
        yield WorkerRow(
            name=row.name,
            host=row.host,
            pid=row.pid,
            state=WorkerState(row.state).word,
            slots=row.slots,
            running=row.running,
            started_at=moment(row.started_us),
            lease_until=moment(row.lease_until_us),
            ended_at=moment(row.ended_us),
            trouble=row.trouble if row.state == WorkerState.ALIVE else None,
            batch_id=row.batch_id,
            pilot=row.pilot,
            ends_at=moment(row.ends_us),
        )
