"""What the store knows of the steps: their lanes, successors and bodies, kept in memory.

Read again whenever another process has set a new version of a pipeline; one look at the newest
version's id tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select

from stoker.errors import Bug
from stoker.model.pipeline import Pipeline, Step
from stoker.model.task import VersionId
from stoker.spec import canon
from stoker.store import tables
from stoker.store.unit import Prepared, Unit

_NEWEST = Prepared(select(func.max(tables.version.c.id)))


@dataclass(frozen=True, slots=True)
class StepEntry:
    """A step of a pipeline's current version, or one that was removed (then `spec` is None)."""

    id: int
    pipeline_id: int
    pipeline: str
    name: str
    position: int
    body_id: int
    body_hash: str
    spec: Step | None
    predecessors: tuple[int, ...] = ()
    successors: tuple[int, ...] = ()
    lanes: Mapping[int, int] = field(default_factory=dict)  # memory level -> lane id

    def lane_at(self, level: int) -> int | None:
        """The lane of the step's tasks at a memory level; None for a removed step."""
        return self.lanes.get(min(level, len(self.lanes) - 1))


@dataclass(frozen=True, slots=True)
class Catalog:
    """The steps and current versions of all pipelines at one moment."""

    newest_version: int
    steps: Mapping[int, StepEntry]
    by_lane: Mapping[int, StepEntry]
    by_name: Mapping[tuple[str, str], StepEntry]
    current: Mapping[str, VersionId]  # pipeline -> version id
    pipeline_ids: Mapping[str, int]

    def of_pipeline(self, pipeline: str) -> tuple[StepEntry, ...]:
        """The steps in the current version, predecessors first."""
        found = (s for s in self.steps.values() if s.pipeline == pipeline and s.spec is not None)
        return tuple(sorted(found, key=lambda entry: entry.position))


def catalog(unit: Unit) -> Catalog:
    """Return the catalog as of this transaction."""
    store = unit.store
    newest = int(unit.run(_NEWEST).fetchone()[0] or 0)
    if store.catalog is None or store.catalog.newest_version != newest:
        store.catalog = _read(unit, newest)
    return store.catalog


def pipeline_of(unit: Unit, version_id: VersionId) -> Pipeline:
    """Return the pipeline as that version has it."""
    store = unit.store
    found = store.versions.get(version_id)
    if found is None:
        table = tables.version
        text = unit.execute(
            select(table.c.spec).where(table.c.id == version_id)
        ).scalar_one_or_none()
        if text is None:
            raise Bug(f"version {version_id} of a pipeline is not in the store")
        found = canon.load_pipeline(text)
        store.versions[version_id] = found
    return found


def _read(unit: Unit, newest: int) -> Catalog:
    pipelines = {row.id: row for row in unit.execute(select(tables.pipeline))}
    hashes = {row.id: row.hash for row in unit.execute(select(tables.body))}
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for row in unit.execute(select(tables.edge)):
        after.setdefault(row.step_id, []).append(row.successor_id)
        before.setdefault(row.successor_id, []).append(row.step_id)
    lanes: dict[int, dict[int, int]] = {}
    for row in unit.execute(select(tables.lane)):
        lanes.setdefault(row.step_id, {})[row.level] = row.id
    steps = {}
    for row in unit.execute(select(tables.step)):
        of = pipelines[row.pipeline_id]
        spec = None
        if not row.is_removed:
            spec = pipeline_of(unit, VersionId(of.version_id)).step(row.name)
        steps[row.id] = StepEntry(
            id=row.id,
            pipeline_id=row.pipeline_id,
            pipeline=of.name,
            name=row.name,
            position=row.position,
            body_id=row.body_id,
            body_hash=hashes[row.body_id],
            spec=spec,
            predecessors=tuple(sorted(before.get(row.id, ()))),
            successors=tuple(sorted(after.get(row.id, ()))),
            lanes=lanes.get(row.id, {}),
        )
    return Catalog(
        newest_version=newest,
        steps=steps,
        by_lane={lane: entry for entry in steps.values() for lane in entry.lanes.values()},
        by_name={(entry.pipeline, entry.name): entry for entry in steps.values()},
        current={row.name: VersionId(row.version_id) for row in pipelines.values()},
        pipeline_ids={row.name: row.id for row in pipelines.values()},
    )
