"""What an attempt was given, or a new one would be, read without claiming anything."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.id_types import AttemptId, ItemId, TaskId, VersionId
from stoker.model.pipeline import Pipeline
from stoker.model.states import AttemptState, TaskState
from stoker.model.task import Claimed, Produced
from stoker.spec.problems import suggest
from stoker.store import tables
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.ids import id_of, new_attempt_id
from stoker.store.renaming import name_then, names_since
from stoker.store.reports.finding import find_item
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _A, _O, _SLOT, _S = tables.task, tables.attempt, tables.output, tables.slot, tables.step


class Named(Protocol):
    """An attempt by its id, and by the names of its task, as people write them."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def pipeline(self) -> str:
        """Its pipeline's name."""

    @property
    def item(self) -> str:
        """Its item's key."""

    @property
    def step(self) -> str:
        """Its step's name."""


def as_claimed(
    store: "Store", key: str, step: str, *, pipeline: str | None = None
) -> tuple[Claimed, Pipeline]:
    """Return what an attempt of this task would be given now, and the pipeline as it stands.

    Pools' slots are named as if they were free; nothing is held.
    """
    with store.reading() as unit:
        item = find_item(unit, key, pipeline=pipeline)
        known = catalog(unit)
        entry = known.by_name.get((item.pipeline, step))
        if entry is None or entry.spec is None:
            steps = [one.name for one in known.of_pipeline(item.pipeline)]
            raise NotFound(f"`{item.pipeline}` has no step `{step}`; {suggest(step, steps)}")
        row = unit.execute(
            select(_T).where(_T.c.item_id == item.id, _T.c.step_id == entry.id)
        ).one_or_none()
        if row is None:
            raise NotFound(f"`{item.key}` has no task of step `{step}`: it is quarantined")
        before = {known.steps[one].name: _latest(unit, item.id, one) for one in entry.predecessors}
        version = known.current[item.pipeline]
        return (
            _claimed(unit, item, row, step, version, before, entry.spec.pools),
            pipeline_of(unit, version),
        )


def as_attempted(store: "Store", attempt: "Named") -> tuple[Claimed, Pipeline]:
    """Return what this attempt was given, and the pipeline as it was then."""
    with store.reading() as unit:
        row = unit.execute(select(_A).where(_A.c.id == id_of(attempt.id))).one()
        item = find_item(unit, attempt.item, pipeline=attempt.pipeline)
        task = unit.execute(select(_T).where(_T.c.id == row.task_id)).one()
        version = VersionId(row.version_id)
        pipeline = pipeline_of(unit, version)
        step = name_then(names_since(unit, version, item.pipeline), attempt.step)
        spec = pipeline.step(step)
        consumed = json.loads(row.consumed) if row.consumed else {}
        before = {step: id_of(name) for step, name in consumed.items()}
        known = _claimed(unit, item, task, attempt.step, version, before, spec.pools)
        return replace(known, step=step), pipeline


def _latest(unit: Unit, item_id: int, step_id: int) -> bytes | None:
    query = select(_T.c.attempt).where(_T.c.item_id == item_id, _T.c.step_id == step_id)
    found: bytes | None = unit.execute(query).scalar()
    return found


def _claimed(
    unit: Unit,
    item: Any,
    task: Any,
    step: str,
    version: VersionId,
    before: Mapping[str, bytes | None],
    pools: Mapping[str, int],
) -> Claimed:
    entry = catalog(unit).by_name[item.pipeline, step]
    levels = entry.spec.memory_bytes if entry.spec else ()
    return Claimed(
        attempt=new_attempt_id(),
        task_id=TaskId(task.id),
        item_id=ItemId(item.id),
        version_id=version,
        pipeline=item.pipeline,
        key=item.key,
        step=step,
        number=task.number + 1,
        generation=item.generation,
        tries=task.tries,
        path=os.fsdecode(item.path) if item.path is not None else None,
        params=json.loads(item.params),
        meta=json.loads(item.meta),
        cpus=entry.spec.cpus if entry.spec else 1,
        memory_bytes=levels[min(task.level, len(levels) - 1)] if levels else None,
        slots={pool: _slot_names(unit, pool, n) for pool, n in pools.items()},
        produced={name: _produced(unit, one) for name, one in before.items()},
    )


def _slot_names(unit: Unit, pool: str, n: int) -> tuple[str, ...]:
    query = select(_SLOT.c.name).where(_SLOT.c.pool == pool, ~_SLOT.c.is_retired)
    return tuple(unit.execute(query.order_by(_SLOT.c.name).limit(n)).scalars())


def _produced(unit: Unit, attempt: bytes | None) -> Produced:
    """Return what an attempt left: nothing, if it skipped its task or did not succeed."""
    if attempt is None:
        return Produced(attempt=None, left_nothing=True)
    paths: dict[str, list[str]] = {}
    query = select(_O.c.name, _O.c.path).where(_O.c.attempt == attempt)
    for row in unit.execute(query.order_by(_O.c.name, _O.c.position)):
        paths.setdefault(row.name, []).append(os.fsdecode(row.path))
    ended = unit.execute(
        select(_A.c.step_values, _A.c.state, _T.c.state.label("task"), _T.c.attempt)
        .select_from(_A.join(_T, _T.c.id == _A.c.task_id))
        .where(_A.c.id == attempt)
    ).one()
    is_last = ended.attempt is not None and bytes(ended.attempt) == bytes(attempt)
    return Produced(
        attempt=AttemptId(bytes(attempt)),
        outputs={name: tuple(several) for name, several in paths.items()},
        values=json.loads(ended.step_values) if ended.step_values else {},
        left_nothing=ended.state != AttemptState.SUCCEEDED
        or (is_last and ended.task == TaskState.SKIPPED),
    )
