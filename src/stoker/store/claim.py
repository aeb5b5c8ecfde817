"""Claiming: a worker takes the next tasks that fit it, each for exactly one attempt.

Eligibility is decided once a lane (a class of tasks with equal needs), order by one index within
the lane. A lane that does not fit, or whose pool is full, costs nothing: its tasks are not looked
at. Measured design: `docs/explanation/decisions/0002-hot-path.md`.
"""

import heapq
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, func, or_, select, update

from stoker.errors import StaleAttempt
from stoker.failpoints import hit
from stoker.model.pipeline import Pipeline
from stoker.model.states import AttemptState, TaskState, WorkerState
from stoker.model.task import AttemptId, Claimed, ItemId, Produced, TaskId, VersionId, WorkerId
from stoker.model.transitions import CLAIM
from stoker.store import catalog as catalogs
from stoker.store import tables
from stoker.store.apply import Move, move, open_attempts
from stoker.store.catalog import Catalog, StepEntry
from stoker.store.ids import new_attempt_id, text_of
from stoker.store.journal import to_json
from stoker.store.unit import Prepared, Unit, param, param_list

if TYPE_CHECKING:
    from stoker.store.connect import Store

_T, _I, _L, _S, _W, _A = (
    tables.task, tables.item, tables.lane, tables.slot, tables.worker, tables.attempt,
)  # fmt: skip

_free = (
    select(func.count())
    .where(_S.c.pool == tables.lane_need.c.pool, _S.c.attempt.is_(None), ~_S.c.is_retired)
    .scalar_subquery()
)
_starved = (
    select(tables.lane_need.c.pool)
    .where(tables.lane_need.c.lane_id == _L.c.id, _free < tables.lane_need.c.n)
    .exists()
)
_first = (
    select(_T.c.okey)
    .where(_T.c.lane == _L.c.id)
    .order_by(_T.c.okey, _T.c.id)
    .limit(1)
    .scalar_subquery()
)
_HEADS = Prepared(
    select(_L.c.id, _L.c.cpus, _L.c.memory_bytes, _first.label("okey")).where(
        _L.c.cpus <= param("cpus"),
        or_(_L.c.memory_bytes.is_(None), _L.c.memory_bytes <= param("memory_bytes")),
        ~_starved,
    )
)
_TAKE = Prepared(
    select(
        _T.c.id, _T.c.item_id, _T.c.okey, _T.c.number, _T.c.tries, _I.c.key, _I.c.path,
        _I.c.params, _I.c.meta, _I.c.generation,
    )
    .join(_I, _I.c.id == _T.c.item_id)
    .where(_T.c.lane == param("lane"))
    .order_by(_T.c.okey, _T.c.id)
    .limit(param("limit"))
)  # fmt: skip
_WORKER = Prepared(
    select(_W.c.state, _W.c.host, _W.c.cpus, _W.c.memory_bytes, _W.c.slots).where(
        _W.c.id == param("worker_id")
    )
)
_OTHERS = Prepared(
    select(_W.c.id, _W.c.slots).where(
        _W.c.host == param("host"), _W.c.state == param("alive"), _W.c.id != param("worker_id")
    )
)
_HELD = Prepared(
    select(func.coalesce(func.sum(_L.c.cpus), 0), func.coalesce(func.sum(_L.c.memory_bytes), 0))
    .select_from(
        _A.join(_T, _T.c.id == _A.c.task_id).join(
            _L, and_(_L.c.step_id == _T.c.step_id, _L.c.level == _T.c.level)
        )
    )
    .where(_A.c.worker_id == param("worker_id"), _A.c.state == param("running"))
)
_NEEDS = Prepared(
    select(tables.lane_need.c.pool, tables.lane_need.c.n)
    .where(tables.lane_need.c.lane_id == param("lane"))
    .order_by(tables.lane_need.c.pool)
)
_FREE_SLOTS = Prepared(
    select(_S.c.name)
    .where(_S.c.pool == param("pool"), _S.c.attempt.is_(None), ~_S.c.is_retired)
    .order_by(_S.c.name)
    .limit(param("limit"))
)
_TAKE_SLOT = Prepared(
    update(_S)
    .where(_S.c.pool == param("pool_"), _S.c.name == param("name_"), _S.c.attempt.is_(None))
    .values(attempt=param("attempt"))
)
_PRODUCED = Prepared(
    select(_T.c.item_id, _T.c.step_id, _A.c.id, _A.c.step_values)
    .select_from(_T.outerjoin(_A, _A.c.id == _T.c.attempt))
    .where(_T.c.item_id.in_(param_list("items")), _T.c.step_id.in_(param_list("steps")))
)
_OUTPUTS = Prepared(
    select(tables.output.c.attempt, tables.output.c.name, tables.output.c.path)
    .where(tables.output.c.attempt.in_(param_list("attempts")))
    .order_by(tables.output.c.attempt, tables.output.c.name, tables.output.c.position)
)


class _Taken(NamedTuple):
    """A task about to be claimed."""

    entry: StepEntry
    lane: int
    cpus: int
    memory_bytes: int | None
    row: Any
    attempt: AttemptId
    slots: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Left:
    """What there still is to do, for a worker that may end when nothing is left for it."""

    ready: int  # tasks that can be claimed now by somebody
    running: int  # attempts in hands
    waiting: int  # tasks in back-off

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is ready, running or in back-off."""
        return not (self.ready or self.running or self.waiting)


def claim(
    store: "Store",
    worker_id: WorkerId,
    *,
    limit: int,
    cpus_free: int,
    memory_free_bytes: int | None = None,
) -> list[Claimed]:
    """Up to `limit` tasks are running, each with a new attempt of this worker; return them.

    Tasks come in the order of priority, then rank, then arrival. `cpus_free` bounds the needs of
    each single task, as more may be claimed than can start at once; what the host's other workers
    fill is subtracted. StaleAttempt if the worker was declared dead. If the process dies after the
    commit, the attempts are lost with the worker and the tasks become ready again.
    """
    with store.writing() as unit:
        known = catalogs.catalog(unit)
        cpus, memory = _room(unit, worker_id, cpus_free, memory_free_bytes)
        taken = _take(unit, known, limit, cpus, memory) if cpus > 0 else []
        if not taken:
            return []
        produced = _produced(unit, known, taken)
        claimed = [_claimed(unit, known, one, produced) for one in taken]
        _write(unit, worker_id, claimed)
        hit("claim.before_commit")
    return claimed


def pipeline_of(store: "Store", version_id: VersionId) -> Pipeline:
    """Return the pipeline as that version has it, from memory after the first time."""
    found = store.versions.get(version_id)
    if found is None:
        with store.reading() as unit:
            found = catalogs.pipeline_of(unit, version_id)
    return found


def anything_left(store: "Store") -> Left:
    """Return what is left to do in the whole store."""
    with store.reading() as unit:
        ready = unit.execute(select(_T.c.id).where(_T.c.lane.is_not(None)).limit(1)).first()
        running = unit.execute(
            select(_A.c.id).where(_A.c.state == AttemptState.RUNNING.value).limit(1)
        ).first()
        waiting = unit.execute(
            select(_T.c.id).where(_T.c.not_before_us.is_not(None)).limit(1)
        ).first()
    return Left(int(ready is not None), int(running is not None), int(waiting is not None))


def _room(unit: Unit, worker_id: int, cpus_free: int, memory_free: int | None) -> tuple[int, int]:
    """Return the cpus and bytes that a task may need at most, the host's other workers counted."""
    state, host, cpus, memory, slots = unit.run(_WORKER, worker_id=worker_id).fetchone()
    if state != WorkerState.ALIVE:
        raise StaleAttempt(
            f"worker {worker_id} was declared dead as it had not renewed its lease; "
            "it begins anew as another"
        )
    cpus = max(cpus, slots)  # whoever asks for more slots than there are cpus means it
    others = unit.run(
        _OTHERS, host=host, alive=WorkerState.ALIVE.value, worker_id=worker_id
    ).fetchall()
    for other, other_slots in others:
        used, held = unit.run(_HELD, worker_id=other, running=AttemptState.RUNNING.value).fetchone()
        cpus -= min(int(used), other_slots)
        memory -= int(held)
    room = min(cpus_free, cpus - (slots - cpus_free))
    return room, memory if memory_free is None else min(memory, memory_free)


def _take(unit: Unit, known: Catalog, limit: int, cpus: int, memory: int) -> list[_Taken]:
    """Choose tasks in order from the lanes that fit, and take their slots of pools."""
    heads = [
        (row[3], row[0], row[1], row[2])
        for row in unit.run(_HEADS, cpus=cpus, memory_bytes=memory).fetchall()
        if row[3] is not None and row[0] in known.by_lane
    ]
    lanes = {lane: (lane_cpus, bytes_) for _, lane, lane_cpus, bytes_ in heads}
    candidates = [
        [(row[2], row[0], lane, row) for row in _of_lane(unit, known, lane, limit)]
        for _, lane, _, _ in sorted(heads)
    ]
    taken: list[_Taken] = []
    for _, _, lane, row in heapq.merge(*candidates, key=lambda one: one[:2]):
        if len(taken) >= limit:
            break
        attempt = new_attempt_id()
        entry = known.by_lane[lane]
        slots = _take_slots(unit, lane, attempt) if entry.spec and entry.spec.pools else {}
        if slots is not None:
            taken.append(_Taken(entry, lane, *lanes[lane], row, attempt, slots))
    return taken


def _of_lane(unit: Unit, known: Catalog, lane: int, limit: int) -> Sequence[Any]:
    if known.by_lane[lane].spec is None:
        return ()
    rows: Sequence[Any] = unit.run(_TAKE, lane=lane, limit=limit).fetchall()
    return rows


def _take_slots(unit: Unit, lane: int, attempt: bytes) -> dict[str, tuple[str, ...]] | None:
    """Give the attempt its slots of every pool of its lane; None, nothing written, if short."""
    chosen: dict[str, tuple[str, ...]] = {}
    for pool, n in unit.run(_NEEDS, lane=lane).fetchall():
        names = unit.run(_FREE_SLOTS, pool=pool, limit=n).fetchall()
        if len(names) < n:
            return None
        chosen[pool] = tuple(row[0] for row in names)
    unit.run_many(
        _TAKE_SLOT,
        [
            {"pool_": pool, "name_": name, "attempt": attempt}
            for pool, names in chosen.items()
            for name in names
        ],
    )
    return chosen


def _produced(
    unit: Unit, known: Catalog, taken: Sequence[_Taken]
) -> dict[int, dict[str, Produced]]:
    """Return what the predecessors left, by item and step name."""
    following = [one for one in taken if one.entry.predecessors]
    if not following:
        return {}
    steps = sorted({step for one in following for step in one.entry.predecessors})
    items = sorted({one.row[1] for one in following})
    rows = unit.run(_PRODUCED, items=items, steps=steps).fetchall()
    attempts = sorted({bytes(row[2]) for row in rows if row[2] is not None})
    paths: dict[bytes, dict[str, list[str]]] = {}
    if attempts:
        for attempt, name, path in unit.run(_OUTPUTS, attempts=attempts).fetchall():
            paths.setdefault(bytes(attempt), {}).setdefault(name, []).append(os.fsdecode(path))
    found: dict[int, dict[str, Produced]] = {}
    for item_id, step_id, attempt, values in rows:
        outputs = paths.get(bytes(attempt), {}) if attempt is not None else {}
        found.setdefault(item_id, {})[known.steps[step_id].name] = Produced(
            attempt=attempt,
            outputs={name: tuple(several) for name, several in outputs.items()},
            values=json.loads(values) if values else {},
        )
    return found


_EMPTY: Mapping[str, Any] = {}


def _claimed(
    unit: Unit,
    known: Catalog,
    taken: _Taken,
    produced: Mapping[int, Mapping[str, Produced]],
) -> Claimed:
    task_id, item_id, _, number, tries, key, path, params, meta, generation = taken.row
    entry = taken.entry
    names = [known.steps[step].name for step in entry.predecessors]
    of_item = produced.get(item_id, {})
    return Claimed(
        attempt=taken.attempt,
        task_id=TaskId(task_id),
        item_id=ItemId(item_id),
        version_id=known.current[entry.pipeline],
        pipeline=entry.pipeline,
        key=key,
        step=entry.name,
        number=number + 1,
        generation=generation,
        tries=tries,
        path=os.fsdecode(path) if path is not None else None,
        params=_EMPTY if params == "{}" else json.loads(params),
        meta=_EMPTY if meta == "{}" else json.loads(meta),
        cpus=taken.cpus,
        memory_bytes=taken.memory_bytes,
        slots=taken.slots,
        produced={name: of_item[name] for name in names if name in of_item},
        claimed_us=unit.now_us,
    )


def _write(unit: Unit, worker_id: int, claimed: Sequence[Claimed]) -> None:
    rows, moves = [], []
    for task in claimed:
        consumed = {
            name: text_of(left.attempt)
            for name, left in task.produced.items()
            if left.attempt is not None
        }
        data: dict[str, Any] = {"number": task.number, "host": unit.store.host}
        if consumed:
            data["consumed"] = consumed
        rows.append(
            {
                "id": task.attempt, "task_id": task.task_id, "number": task.number, "kind": 0,
                "worker_id": worker_id, "generation": task.generation,
                "version_id": task.version_id,
                "consumed": to_json(consumed) if consumed else None, "claimed_us": unit.now_us,
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
