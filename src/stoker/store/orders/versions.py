"""Versions of pipelines: taking over a changed file, and what that does to the tasks (rule V)."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, select, update

from stoker.errors import NotFound, VersionConflict
from stoker.failpoints import hit
from stoker.model.id_types import VersionId
from stoker.model.pipeline import Pipeline, Step
from stoker.spec import canon
from stoker.spec.problems import suggest
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.journal import Entry, append, to_json
from stoker.store.orders.moved_project import is_gone, move_paths
from stoker.store.orders.new_version import TaskChanges, settle
from stoker.store.reading_first import reading_first
from stoker.store.renaming import Renamed, is_too_late, rename_pipeline, rename_steps
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store


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
    moved_from: str | None = None  # the folder in which the project was before
    renamed_from: str | None = None  # the pipeline whose items are its own now
    is_renamed_too_late: bool = False  # the pipeline that it says it was is another one by now
    steps_renamed: Mapping[str, str] = field(default_factory=dict)  # old name to new
    renamed_too_late: tuple[str, ...] = ()  # steps that have tasks of their own already


def apply_version(
    store: "Store",
    pipeline: Pipeline,
    *,
    host: str,
    path: str,
    actor: "Actor | None" = None,
    take_over: bool = False,
    dry_run: bool = False,
    outposts: Collection[str] = (),
) -> VersionChange:
    """The store's current version of the pipeline is this one; its tasks follow.

    Every item has a task for each new step; open tasks of removed steps are cancelled; done tasks
    stay done. Nothing happens where the content is the same, wherever the file is. VersionConflict
    if it differs and was set from elsewhere, unless `take_over`. If the file that set it is gone from
    this host, the project was moved here, and the paths in it follow. The version is set in one
    transaction; tasks follow in others, and if the process dies in between, any janitor and the next
    call go on. Nobody claims meanwhile what has not followed yet. `outposts` are those that the store
    has or, for a dry run, is about to have.
    """
    change = _set_version(
        store,
        pipeline,
        host=host,
        path=path,
        actor=actor,
        take_over=take_over,
        dry_run=dry_run,
        outposts=outposts,
    )
    if not dry_run:
        hit("version_set")
        settle(store)
    return change


@reading_first
def _set_version(
    store: "Store",
    pipeline: Pipeline,
    *,
    host: str,
    path: str,
    actor: "Actor | None",
    take_over: bool,
    dry_run: bool,
    outposts: Collection[str],
) -> VersionChange:
    with store.writing(dry_run=dry_run, alone=True) as unit:
        change = _Change(unit, pipeline, host, path, actor, outposts)
        done = change.run(take_over=take_over)
        if dry_run:
            store.catalog = None
    return done


class _Change:
    """One taking-over, within one transaction."""

    def __init__(
        self,
        unit: Unit,
        pipeline: Pipeline,
        host: str,
        path: str,
        actor: "Actor | None",
        outposts: Collection[str],
    ) -> None:
        self.known_outposts = outposts
        self.unit = unit
        self.pipeline = pipeline
        self.host = host
        self.path = os.fsencode(path)
        self.said = {} if actor is None else actor.data()
        self.changed: list[str] = []
        self.after: dict[str, set[str]] = {}  # of each step, in the version before
        self.outposts: dict[str, str | None] = {}  # of each step, in the version before
        self.handed_over: set[str] = set()  # steps that belong to another site than before

    def run(self, *, take_over: bool) -> VersionChange:
        old = rename_pipeline(self.unit, self.pipeline)
        is_late = is_too_late(self.unit, self.pipeline)
        table = tables.version
        joined = table.join(tables.pipeline, tables.pipeline.c.version_id == table.c.id)
        query = select(table).select_from(joined)
        row = self.unit.execute(
            query.where(tables.pipeline.c.name == self.pipeline.name)
        ).one_or_none()
        spec = canon.dump_pipeline(self.pipeline)
        folders = None if row is None else self._moved(row)
        is_elsewhere = row is not None and row.folder != os.fsencode(self.pipeline.folder)
        is_news = folders is not None or (take_over and is_elsewhere)
        if row is not None and canon.is_same(row.spec, spec) and not is_news:
            return VersionChange(pipeline=self.pipeline.name, number=row.number, is_new=False)
        before = f"{row.set_by_host}:{os.fsdecode(row.set_by_path)}" if row else None
        if row is not None and not take_over and not self._set_by_us(row):
            raise VersionConflict(
                f"pipeline `{self.pipeline.name}` was last set from `{before}` and this file "
                f"differs from it; `stoker apply` takes this one over for everybody"
            )
        number = row.number + 1 if row else 1
        self._note_order()
        renamed = Renamed()
        if row is not None:
            renamed = rename_steps(self.unit, row.pipeline_id, VersionId(row.id), self.pipeline)
            self._rename_order(renamed.steps)
        pipeline_id = self._new_version(number, spec)
        if folders is not None:
            paths = self.pipeline.path_params
            move_paths(self.unit, pipeline_id, folders, params=paths)
            old_folder, new_folder = map(os.fsdecode, folders)
            self.said["moved"] = {"from": old_folder, "to": new_folder, "params": paths}
        self._steps(pipeline_id)
        self.unit.store.catalog = self.unit.others = None
        self._journal(number, spec, old, renamed.steps)
        follow = TaskChanges(self.unit, self.pipeline, self.after, self.handed_over)
        follow.mark()
        return VersionChange(
            pipeline=self.pipeline.name,
            number=number,
            is_new=True,
            tasks_created=follow.created,
            tasks_cancelled=follow.cancelled,
            bodies_changed=tuple(self.changed),
            set_before=before,
            renamed_from=old,
            is_renamed_too_late=is_late,
            moved_from=None if folders is None else os.fsdecode(folders[0]),
            steps_renamed=renamed.steps,
            renamed_too_late=renamed.too_late,
        )

    def _note_order(self) -> None:
        known = catalog(self.unit)
        self.after = {
            entry.name: {known.steps[one].name for one in entry.predecessors}
            for entry in known.of_pipeline(self.pipeline.name)
        }
        self.outposts = {
            entry.name: entry.outpost for entry in known.of_pipeline(self.pipeline.name)
        }

    def _rename_order(self, names: Mapping[str, str]) -> None:
        self.after = {
            names.get(name, name): {names.get(one, one) for one in before}
            for name, before in self.after.items()
        }
        self.outposts = {names.get(name, name): one for name, one in self.outposts.items()}

    def _set_by_us(self, row: Any) -> bool:
        is_here = row.set_by_host == self.host
        return is_here and (row.set_by_path == self.path or is_gone(row.set_by_path))

    def _moved(self, row: Any) -> tuple[bytes, bytes] | None:
        """Return the project's old folder and its new one, if it was moved since."""
        folders = (os.path.dirname(row.set_by_path), os.path.dirname(self.path))
        is_ours = self._set_by_us(row) and row.set_by_path != self.path
        return folders if is_ours and folders[0] != folders[1] else None

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

    def _journal(
        self, number: int, spec: str, renamed_from: str | None, names: Mapping[str, str]
    ) -> None:
        data: dict[str, Any] = {"number": number, "spec": spec, **self.said}
        if renamed_from is not None:
            data["renamed_from"] = renamed_from
        if names:
            data["renamed"] = names
        data |= {"host": self.host, "path": os.fsdecode(self.path)}
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
        columns = {
            "position": position, "waits_for": len(step.after), "is_removed": False,
            "site": self._site_of(step),
        }  # fmt: skip
        was_elsewhere = self.outposts.get(step.name, step.site) != self._outpost_of(step)
        if row is not None and (row.site != columns["site"] or was_elsewhere):
            self.handed_over.add(step.name)
        if row is None:
            done = self.unit.execute(
                insert(table).values(pipeline_id=pipeline_id, name=step.name, **columns)
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

    def _site_of(self, step: Step) -> int:
        """The site whose step it is: the store's own unless the file names another one that it knows."""
        if step.site is None or self._outpost_of(step) is not None:
            return self.unit.store.site
        table = tables.site
        known = {
            row.name: row.id
            for row in self.unit.execute(select(table.c.name, table.c.id)).fetchall()
        }
        if step.site not in known:
            raise NotFound(
                f"step `{step.name}` of pipeline `{self.pipeline.name}` has site `{step.site}`, "
                f"which the store does not know; {suggest(step.site, known) or 'leave `site` out'}"
            )
        return int(known[step.site])

    def _outpost_of(self, step: Step) -> str | None:
        """The outpost at which the step runs, if it does at one."""
        if step.site is None or step.site in self.known_outposts:
            return step.site
        table = tables.outpost
        query = select(table.c.name).where(table.c.name == step.site)
        found: str | None = self.unit.execute(query).scalar()
        return found

    def _body(self, step_id: int, body_hash: str) -> int:
        table = tables.body
        where = and_(table.c.step_id == step_id, table.c.hash == body_hash)
        found = self.unit.execute(select(table.c.id).where(where)).scalar()
        if found is None:
            done = self.unit.execute(insert(table).values(step_id=step_id, hash=body_hash))
            found = done.inserted_primary_key[0]
        return int(found)

    def _lanes(self, step_id: int, step: Step) -> None:
        """One pattern a memory level, and what was made from it says the same."""
        table, need = tables.lane, tables.lane_need
        known: dict[int, list[int]] = {}
        for row in self.unit.execute(select(table).where(table.c.step_id == step_id)):
            known.setdefault(row.level, []).append(row.id)
        memory: Sequence[int | None] = step.memory_bytes or (None,)
        for level in range(max(len(memory), len(known))):
            columns = {"cpus": step.cpus, "memory_bytes": memory[min(level, len(memory) - 1)]}
            lanes = known.get(level)
            if lanes is None:
                done = self.unit.execute(
                    insert(table).values(step_id=step_id, level=level, host="", **columns)
                )
                lanes = [done.inserted_primary_key[0]]
            else:
                self.unit.execute(update(table).where(table.c.id.in_(lanes)).values(**columns))
            self.unit.execute(delete(need).where(need.c.lane_id.in_(lanes)))
            needs = [
                {"lane_id": lane, "pool": p, "n": n}
                for lane in lanes
                for p, n in step.pools.items()
            ]
            if needs:
                self.unit.execute(insert(need), needs)
