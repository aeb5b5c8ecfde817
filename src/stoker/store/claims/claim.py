"""Claiming: a worker takes the next tasks that fit it, each for exactly one attempt.

Eligibility is decided once a lane (a class of tasks with equal needs), order by one index within
the lane. A lane that does not fit, or whose pool is full, costs nothing: its tasks are not looked
at. Measured design: `docs/explanation/decisions/0003-the-stores-hot-path.md`.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, literal_column, or_, select

from stoker.failpoints import hit
from stoker.model.id_types import ItemId, TaskId, VersionId, WorkerId
from stoker.model.lease_kind import LeaseKind
from stoker.model.pipeline import Pipeline
from stoker.model.shares import Ledger
from stoker.model.sharing import Terms
from stoker.model.states import TaskState
from stoker.model.task import Claimed, Produced
from stoker.model.transitions import CLAIM
from stoker.model.worker import Filling, Grant, Portion, TimeLeft, WorkLeft
from stoker.store import catalog as catalogs
from stoker.store import tables
from stoker.store.apply import Move, move, open_attempts
from stoker.store.claims.capacity import Room, is_running, room
from stoker.store.claims.choose import Taken, take
from stoker.store.claims.missing_outputs import Versions, without_lacking
from stoker.store.ids import text_of
from stoker.store.journal import to_json
from stoker.store.steps import Catalog
from stoker.store.unit import Prepared, Unit, as_a_whole, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _A, _R, _SLOT, _U, _W = (
    tables.task, tables.attempt, tables.turn, tables.slot, tables.unsettled_step, tables.worker,
)  # fmt: skip

_PRODUCED = Prepared(
    select(_T.c.item_id, _T.c.step_id, _A.c.id, _A.c.step_values, _A.c.version_id, _T.c.state)
    .select_from(_T.outerjoin(_A, _A.c.id == _T.c.attempt))
    .where(_T.c.item_id.in_(param_list("items")), _T.c.step_id.in_(param_list("steps")))
)
_OUTPUTS = Prepared(
    select(tables.output.c.attempt, tables.output.c.name, tables.output.c.path)
    .where(tables.output.c.attempt.in_(param_list("attempts")))
    .order_by(tables.output.c.attempt, tables.output.c.name, tables.output.c.position)
)
_detached = select(_W.c.id).where(_W.c.lease_kind == LeaseKind.DETACHED.value)
_is_here = or_(_A.c.worker_id.is_(None), _A.c.worker_id.not_in(_detached))
_is_out = select(_A.c.id).where(is_running, _A.c.worker_id.in_(_detached))
_LEFT = Prepared(
    select(
        *(
            select(literal_column("1")).where(condition).limit(1).exists()
            for condition in (
                _T.c.lane.is_not(None),
                and_(is_running, _is_here),
                and_(_SLOT.c.attempt.is_not(None), _SLOT.c.attempt.not_in(_is_out)),
                _T.c.not_before_us.is_not(None),
                _U.c.step_id.is_not(None),
            )
        )
    )
)


@as_a_whole
def claim(
    store: "Store",
    worker_id: WorkerId,
    *,
    limit: int,
    cpus_free: int,
    memory_free_bytes: int | None = None,
    portion: Portion | None = None,
    ledger: Ledger | None = None,
    left: TimeLeft | None = None,
) -> Grant:
    """Up to `limit` tasks are running, each with a new attempt of this worker; return them.

    Tasks come in the order of priority, then rank, then arrival; where the store has shares, within
    a priority by what each group has had of this worker, which its `ledger` knows. `cpus_free` bounds
    the needs of each single task, as more may be claimed than can start at once; what the host's
    other workers fill is subtracted. The claim ends with the first task that the `portion` has no
    room for. Of a worker that has an end, `left` is what it has until then, and only what fits into
    that is claimed. StaleAttempt if the worker was declared dead. If the process dies after the
    commit, the attempts are lost with the worker and the tasks become ready again; a power cut of
    the host ends both, so that the claim itself need not be on disk.
    """
    ledger = Ledger() if ledger is None else ledger
    with store.writing(durable=False) as unit:
        free = room(unit, worker_id, cpus_free, memory_free_bytes)
        is_crowded = free.cpus <= 0 < cpus_free
        known = catalogs.catalog(unit, newest=free.newest)
        filling = Filling(portion) if portion is not None else None
        taken = take(unit, known, free, limit, filling, ledger, left) if free.cpus > 0 else []
        if not taken:
            return Grant([], ledger, is_crowded, free.crowding)
        produced, versions = _produced(unit, known, taken)
        taken = without_lacking(unit, known, taken, versions)
        terms = known.sharing.terms
        claimed = [_claimed(unit, known, one, produced, terms) for one in taken]
        _write(unit, known, worker_id, free, claimed)
        hit("claim.before_commit")
    for one in taken:
        shares = known.sharing.shares
        group = shares.group(one.lane.share, one.lane.entry.pipeline)
        ledger.begin(shares, one.attempt, group, one.lane.cpus, unit.now_us)
    return Grant(claimed, ledger, is_crowded, free.crowding)


def pipeline_of(store: "Store", version_id: VersionId) -> Pipeline:
    """Return the pipeline as that version has it, from memory after the first time."""
    found = store.versions.get(version_id)
    if found is None:
        with store.reading() as unit:
            found = catalogs.pipeline_of(unit, version_id)
    return found


def anything_left(store: "Store") -> WorkLeft:
    """Return what is left to do in the whole store, but for what is out at places without one.

    What waits for the hours or the rate of a pool waits as what is in back-off does.
    """
    with store.reading() as unit:
        return _left(unit)


@as_a_whole
def has_nothing_for(
    store: "Store",
    worker_id: WorkerId,
    *,
    cpus_free: int,
    memory_free_bytes: int,
    left: TimeLeft | None = None,
) -> bool:
    """Whether nothing will come for this worker, which holds nothing, unless from outside.

    That is: nobody holds or waits for anything, and nothing that is ready fits this worker. Both are
    true at one moment, when no other claim or end is under way: between two looks another worker may
    end one attempt and claim the next, and each look by itself would find the pool's slot taken or
    nothing running. Nothing is changed. StaleAttempt if the worker was declared dead.
    """
    with store.writing(alone=True, dry_run=True) as unit:
        rest = _left(unit)
        if not rest.is_settled:
            return False
        free = room(unit, worker_id, cpus_free, memory_free_bytes)
        known = catalogs.catalog(unit, newest=free.newest)
        return not (rest.ready and take(unit, known, free, limit=1, left=left))


def _left(unit: Unit) -> WorkLeft:
    ready, running, held, in_back_off, unsettled = unit.run(_LEFT).fetchone()
    return WorkLeft(
        ready=bool(ready),
        running=bool(running or held),
        waiting=bool(in_back_off or unsettled) or _waits_for_time(unit),
    )


def _waits_for_time(unit: Unit) -> bool:
    """Whether a ready task needs a pool that is closed, or of which just so many have begun."""
    known = catalogs.catalog(unit)
    late = set(known.sharing.closed(unit.now_us))
    if known.sharing.has_rates:
        free = select(_R.c.pool).where(_R.c.free_us <= unit.now_us).distinct()
        rated = {n for n, pool in known.sharing.declared.items() if pool.per_minute is not None}
        late |= rated - set(unit.execute(free).scalars())
    lanes = {
        lane
        for entry in known.steps.values()
        if late and entry.spec is not None and not late.isdisjoint(entry.spec.pools)
        for lane in entry.lanes.values()
    }
    if not lanes:
        return False
    return unit.execute(select(_T.c.id).where(_T.c.lane.in_(lanes)).limit(1)).first() is not None


def _produced(
    unit: Unit, known: Catalog, taken: Sequence[Taken]
) -> tuple[dict[int, dict[str, Produced]], Versions]:
    """Return what the predecessors left, by item and step name, and which versions did the done ones."""
    following = [one for one in taken if one.lane.entry.predecessors]
    if not following:
        return {}, {}
    steps = sorted({step for one in following for step in one.lane.entry.predecessors})
    items = sorted({one.row.item_id for one in following})
    rows = unit.run(_PRODUCED, items=items, steps=steps).fetchall()
    attempts = sorted({bytes(row[2]) for row in rows if row[2] is not None})
    paths: dict[bytes, dict[str, list[str]]] = {}
    if attempts:
        for attempt, name, path in unit.run(_OUTPUTS, attempts=attempts).fetchall():
            paths.setdefault(bytes(attempt), {}).setdefault(name, []).append(os.fsdecode(path))
    found: dict[int, dict[str, Produced]] = {}
    versions: dict[int, dict[str, VersionId]] = {}
    for item_id, step_id, attempt, values, version, state in rows:
        if state == TaskState.DONE and version is not None:
            versions.setdefault(item_id, {})[known.steps[step_id].name] = version
        outputs = paths.get(bytes(attempt), {}) if attempt is not None else {}
        found.setdefault(item_id, {})[known.steps[step_id].name] = Produced(
            attempt=attempt,
            outputs={name: tuple(several) for name, several in outputs.items()},
            values=json.loads(values) if values else {},
            left_nothing=state == TaskState.SKIPPED,
        )
    return found, versions


_EMPTY: Mapping[str, Any] = {}


def _claimed(
    unit: Unit,
    known: Catalog,
    taken: Taken,
    produced: Mapping[int, Mapping[str, Produced]],
    terms: Terms,
) -> Claimed:
    row = taken.row
    entry = taken.lane.entry
    names = [known.steps[step].name for step in entry.predecessors]
    of_item = produced.get(row.item_id, {})
    return Claimed(
        attempt=taken.attempt,
        task_id=TaskId(row.task_id),
        item_id=ItemId(row.item_id),
        version_id=known.current[entry.pipeline],
        pipeline=entry.pipeline,
        key=row.key,
        step=entry.name,
        number=row.number + 1,
        generation=row.generation,
        tries=row.tries,
        path=os.fsdecode(row.path) if row.path is not None else None,
        params=_EMPTY if row.params == "{}" else json.loads(row.params),
        meta=_EMPTY if row.meta == "{}" else json.loads(row.meta),
        cpus=taken.lane.cpus,
        memory_bytes=taken.lane.memory_bytes,
        slots=taken.slots,
        produced={name: of_item[name] for name in names if name in of_item},
        claimed_us=unit.now_us,
        terms=terms,
    )


def _write(
    unit: Unit, known: Catalog, worker_id: int, of_worker: Room, claimed: Sequence[Claimed]
) -> None:
    rows, moves = [], []
    batch_id = of_worker.batch_id
    for task in claimed:
        consumed = {
            name: text_of(left.attempt)
            for name, left in task.produced.items()
            if left.attempt is not None
        }
        data: dict[str, Any] = {
            "number": task.number, "host": of_worker.host, "worker": of_worker.name,
            "version": known.numbers[task.pipeline],
        }  # fmt: skip
        if consumed:
            data["consumed"] = consumed
        if batch_id is not None:
            data["batch_id"] = batch_id
        rows.append(
            {
                "id": task.attempt, "task_id": task.task_id, "number": task.number, "kind": 0,
                "worker_id": worker_id, "generation": task.generation,
                "version_id": task.version_id,
                "consumed": to_json(consumed) if consumed else None, "claimed_us": unit.now_us,
                "batch_id": batch_id,
            }
        )  # fmt: skip
        columns = {"attempt": task.attempt, "worker_id": worker_id, "number": task.number}
        moves.append(
            Move(
                task.task_id, TaskState.READY, task.pipeline, task.key, task.step,
                task.generation, task.attempt, columns, None, to_json(data),
            )
        )  # fmt: skip
    open_attempts(unit, rows)
    move(unit, CLAIM, moves)
