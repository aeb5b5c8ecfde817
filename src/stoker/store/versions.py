"""Versions of pipelines: taking over a changed file, and what that does to the tasks (rule V)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, delete, func, insert, literal, select, update

from stoker.errors import VersionConflict
from stoker.model import transitions
from stoker.model.pipeline import Pipeline, Step
from stoker.model.states import TaskState
from stoker.spec import canon
from stoker.store import tables
from stoker.store.apply import Move, move
from stoker.store.catalog import StepEntry, catalog
from stoker.store.journal import Entry, append, to_json
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.connect import Store

_CHUNK = 1_000
_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)
_WAITING = (TaskState.BLOCKED.value, TaskState.READY.value, TaskState.HELD.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChange:
    """What taking over a pipeline did, or would do."""

    pipeline: str
    number: int
    is_new: bool
    tasks_created: Mapping[str, int] = field(default_factory=dict)  # by new step
    tasks_cancelled: Mapping[str, int] = field(default_factory=dict)  # by removed step
    bodies_changed: tuple[str, ...] = ()  # steps whose done tasks are outdated now
    set_before: str | None = None  # `host:path` that set the version before


def apply_version(
    store: "Store",
    pipeline: Pipeline,
    *,
    host: str,
    path: str,
    take_over: bool = False,
    dry_run: bool = False,
) -> VersionChange:
    """The store's current version of the pipeline is this one; its tasks follow.

    Every item has a task for each new step; open tasks of removed steps are cancelled; done tasks
    stay done. Nothing happens where the content is the same. VersionConflict if it differs and was
    set from elsewhere, unless `take_over`. One transaction: all of it, or nothing.
    """
    with store.writing(dry_run=dry_run) as unit:
        change = _Change(unit, pipeline, host, path)
        done = change.run(take_over=take_over)
        if dry_run:
            store.catalog = None
    return done


class _Change:
    """One taking-over, within one transaction."""

    def __init__(self, unit: Unit, pipeline: Pipeline, host: str, path: str) -> None:
        self.unit = unit
        self.pipeline = pipeline
        self.host = host
        self.path = os.fsencode(path)
        self.created: dict[str, int] = {}
        self.cancelled: dict[str, int] = {}
        self.changed: list[str] = []
        self.after: dict[str, set[str]] = {}  # of each step, in the version before

    def run(self, *, take_over: bool) -> VersionChange:
        table = tables.version
        joined = table.join(tables.pipeline, tables.pipeline.c.version_id == table.c.id)
        query = select(table).select_from(joined)
        row = self.unit.execute(
            query.where(tables.pipeline.c.name == self.pipeline.name)
        ).one_or_none()
        spec = canon.dump_pipeline(self.pipeline)
        if row is not None and row.spec == spec:
            return VersionChange(pipeline=self.pipeline.name, number=row.number, is_new=False)
        before = f"{row.set_by_host}:{os.fsdecode(row.set_by_path)}" if row else None
        if row is not None and not take_over and not self._set_by_us(row):
            raise VersionConflict(
                f"pipeline `{self.pipeline.name}` was last set from `{before}` and this file "
                f"differs from it; `stoker apply` takes this one over for everybody"
            )
        number = row.number + 1 if row else 1
        self.after = {
            entry.name: {known.name for known in map(self._entry, entry.predecessors)}
            for entry in catalog(self.unit).of_pipeline(self.pipeline.name)
        }
        pipeline_id = self._new_version(number, spec)
        self._steps(pipeline_id)
        self.unit.store.catalog = None
        self._journal(number, spec)
        self._tasks()
        return VersionChange(
            pipeline=self.pipeline.name,
            number=number,
            is_new=True,
            tasks_created=self.created,
            tasks_cancelled=self.cancelled,
            bodies_changed=tuple(self.changed),
            set_before=before,
        )

    def _entry(self, step_id: int) -> StepEntry:
        return catalog(self.unit).steps[step_id]

    def _set_by_us(self, row: Any) -> bool:
        return bool(row.set_by_host == self.host and row.set_by_path == self.path)

    def _new_version(self, number: int, spec: str) -> int:
        """Insert the version and point the pipeline at it; return the pipeline's id."""
        table = tables.pipeline
        name = self.pipeline.name
        found = self.unit.execute(select(table.c.id).where(table.c.name == name)).scalar()
        if found is None:
            done = self.unit.execute(insert(table).values(name=name, items=self.pipeline.items))
            found = done.inserted_primary_key[0]
        version = self.unit.execute(
            insert(tables.version).values(
                pipeline_id=found,
                number=number,
                interface_hash=canon.interface_hash(self.pipeline),
                body_hash=canon.pipeline_body_hash(self.pipeline),
                spec=spec,
                folder=os.fsencode(self.pipeline.folder),
                set_by_host=self.host,
                set_by_path=self.path,
                at_us=self.unit.now_us,
            )
        ).inserted_primary_key[0]
        self.unit.execute(
            update(table)
            .where(table.c.id == found)
            .values(version_id=version, items=self.pipeline.items)
        )
        return int(found)

    def _journal(self, number: int, spec: str) -> None:
        data = {"number": number, "spec": spec, "host": self.host, "path": os.fsdecode(self.path)}
        data["bodies"] = {step.name: canon.body_hash(step) for step in self.pipeline.steps}
        append(self.unit, [Entry("set_version", pipeline=self.pipeline.name, data=to_json(data))])

    def _steps(self, pipeline_id: int) -> None:
        """Bring steps, bodies, edges and lanes to what the pipeline says."""
        table = tables.step
        known = {
            row.name: row
            for row in self.unit.execute(select(table).where(table.c.pipeline_id == pipeline_id))
        }
        ids: dict[str, int] = {}
        for position, step in enumerate(self.pipeline.steps):
            ids[step.name] = self._step(pipeline_id, position, step, known.get(step.name))
        gone = [row.id for name, row in known.items() if name not in ids]
        if gone:
            self.unit.execute(update(table).where(table.c.id.in_(gone)).values(is_removed=True))
        mine = [*ids.values(), *gone]
        edge = tables.edge
        self.unit.execute(delete(edge).where(edge.c.step_id.in_(mine)))
        edges = [
            {"step_id": ids[before], "successor_id": ids[step.name]}
            for step in self.pipeline.steps
            for before in step.after
        ]
        if edges:
            self.unit.execute(insert(edge), edges)

    def _step(self, pipeline_id: int, position: int, step: Step, row: Any) -> int:
        table = tables.step
        columns = {"position": position, "waits_for": len(step.after), "is_removed": False}
        if row is None:
            done = self.unit.execute(
                insert(table).values(pipeline_id=pipeline_id, name=step.name, site=1, **columns)
            )
            step_id = int(done.inserted_primary_key[0])
        else:
            step_id = row.id
            self.unit.execute(update(table).where(table.c.id == step_id).values(**columns))
        body_id = self._body(step_id, canon.body_hash(step))
        if row is not None and row.body_id != body_id and not row.is_removed:
            self.changed.append(step.name)
        self.unit.execute(update(table).where(table.c.id == step_id).values(body_id=body_id))
        self._lanes(step_id, step)
        return step_id

    def _body(self, step_id: int, body_hash: str) -> int:
        table = tables.body
        where = and_(table.c.step_id == step_id, table.c.hash == body_hash)
        found = self.unit.execute(select(table.c.id).where(where)).scalar()
        if found is None:
            done = self.unit.execute(insert(table).values(step_id=step_id, hash=body_hash))
            found = done.inserted_primary_key[0]
        return int(found)

    def _lanes(self, step_id: int, step: Step) -> None:
        """One lane a memory level. A lane is never removed, as tasks may stand in it."""
        table, need = tables.lane, tables.lane_need
        known = {
            row.level: row.id
            for row in self.unit.execute(select(table).where(table.c.step_id == step_id))
        }
        memory: Sequence[int | None] = step.memory_bytes or (None,)
        for level in range(max(len(memory), len(known))):
            columns = {"cpus": step.cpus, "memory_bytes": memory[min(level, len(memory) - 1)]}
            lane_id = known.get(level)
            if lane_id is None:
                done = self.unit.execute(
                    insert(table).values(step_id=step_id, level=level, **columns)
                )
                lane_id = done.inserted_primary_key[0]
            else:
                self.unit.execute(update(table).where(table.c.id == lane_id).values(**columns))
            self.unit.execute(delete(need).where(need.c.lane_id == lane_id))
            needs = [{"lane_id": lane_id, "pool": p, "n": n} for p, n in step.pools.items()]
            if needs:
                self.unit.execute(insert(need), needs)

    def _tasks(self) -> None:
        known = catalog(self.unit)
        mine = [entry for entry in known.steps.values() if entry.pipeline == self.pipeline.name]
        for entry in mine:
            if entry.spec is None:
                self._cancel_open(entry)
        for entry in known.of_pipeline(self.pipeline.name):
            after = self.after.get(entry.name)
            if after is None:
                self._create(entry)
            if after != set(self.pipeline.step(entry.name).after):
                self._recount(entry)

    def _cancel_open(self, entry: StepEntry) -> None:
        """Cancel what a removed step still has to do; what runs of it may end."""
        for state in (*transitions.CANCEL.sources,):
            rows = self._tasks_in(entry, (state.value,))
            moves = [
                Move(row.id, row.state, entry.pipeline, row.key, entry.name, row.generation,
                     columns={"reason": "its step was removed from the pipeline"})
                for row in rows
            ]  # fmt: skip
            move(self.unit, transitions.CANCEL, moves)
            if moves:
                self.cancelled[entry.name] = self.cancelled.get(entry.name, 0) + len(moves)

    def _tasks_in(self, entry: StepEntry, states: tuple[int, ...]) -> Sequence[Any]:
        task, item = tables.task, tables.item
        query = (
            select(task.c.id, task.c.state, task.c.waiting_on, task.c.level, item.c.key,
                   item.c.generation, _unsatisfied(entry, item.c.id).label("unsatisfied"))
            .select_from(task.join(item, item.c.id == task.c.item_id))
            .where(task.c.step_id == entry.id, task.c.state.in_(states))
        )  # fmt: skip
        rows: Sequence[Any] = self.unit.execute(query).fetchall()
        return rows

    def _create(self, entry: StepEntry) -> None:
        """Insert a task of this step for every item that has none."""
        task, item = tables.task, tables.item
        waiting = _unsatisfied(entry, item.c.id)
        missing = ~(
            select(task.c.id)
            .where(task.c.item_id == item.c.id, task.c.step_id == entry.id)
            .exists()
        )
        chosen = (
            select(item.c.id, item.c.priority, waiting.label("waiting"))
            .where(item.c.pipeline_id == entry.pipeline_id, missing)
            .subquery()
        )
        is_ready = chosen.c.waiting == 0
        query = select(
            chosen.c.id,
            literal(entry.id),
            case((is_ready, TaskState.READY.value), else_=TaskState.BLOCKED.value),
            case((is_ready, bindparam("lane", entry.lane_at(0))), else_=None),
            -chosen.c.priority * ORDER_STEP,
            chosen.c.waiting,
            *(literal(0) for _ in range(4)),
        )
        columns = ["item_id", "step_id", "state", "lane", "okey", "waiting_on"]
        columns += ["number", "tries", "lost", "level"]
        counts = self._count_tasks(entry)
        self.unit.execute(insert(task).from_select(columns, query))
        entries = []
        for state, n in self._count_tasks(entry).items():
            fresh = n - counts.get(state, 0)
            if fresh:
                entries.append(
                    Entry("add_tasks", entry.pipeline, step=entry.name, to_state=state, n=fresh)
                )
                self.created[entry.name] = self.created.get(entry.name, 0) + fresh
        append(self.unit, entries)

    def _count_tasks(self, entry: StepEntry) -> dict[int, int]:
        task = tables.task
        query = select(task.c.state, func.count()).where(task.c.step_id == entry.id)
        rows = self.unit.execute(query.group_by(task.c.state)).fetchall()
        return dict(tuple(row) for row in rows)

    def _recount(self, entry: StepEntry) -> None:
        """Where predecessors were added or removed, tasks wait for what they now depend on."""
        task = tables.task
        moves: dict[str, list[Move]] = {}
        for row in self._tasks_in(entry, _WAITING):
            state, n = TaskState(row.state), row.unsatisfied
            one = Move(row.id, row.state, entry.pipeline, row.key, entry.name, row.generation)
            if state is TaskState.BLOCKED and n == 0:
                columns = {"waiting_on": 0, "lane": entry.lane_at(row.level)}
                moves.setdefault("unblock", []).append(one._replace(columns=columns))
            elif state is TaskState.READY and n > 0:
                moves.setdefault("block", []).append(one._replace(columns={"waiting_on": n}))
            elif n != row.waiting_on:
                self.unit.execute(update(task).where(task.c.id == row.id).values(waiting_on=n))
        for name, rows in moves.items():
            move(self.unit, transitions.BY_NAME[name], rows)


ORDER_STEP = 1 << 40  # how far one priority class is from the next in `okey`


def _unsatisfied(entry: StepEntry, item_id: Any) -> Any:
    """The number of an item's predecessors of this step that are neither done nor skipped."""
    if not entry.predecessors:
        return literal(0)
    before = tables.task.alias("before")
    return (
        select(func.count())
        .select_from(before)
        .where(
            before.c.item_id == item_id,
            before.c.step_id.in_(entry.predecessors),
            before.c.state.not_in(_SATISFIED),
        )
        .scalar_subquery()
    )
