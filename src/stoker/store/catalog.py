"""What the store knows of the steps: their lanes, successors and bodies, kept in memory.

Read again whenever another process has set a new version of a pipeline, or other pools or shares;
one look at their newest ids shows it.
"""

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, func, literal, select

from stoker.errors import Bug
from stoker.model.id_types import VersionId
from stoker.store import tables
from stoker.store.sharing import newest_sharing
from stoker.store.steps import Catalog, LaneKey, StepEntry
from stoker.store.unit import Prepared, Unit

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline

# A column for a query that has to be made anyway, to spare one: see `catalog`.
NEWEST_VERSION = func.coalesce(
    select(func.max(tables.version.c.id)).scalar_subquery(), 0
) * literal(1 << 32, BigInteger()) + func.coalesce(
    select(func.max(tables.sharing.c.id)).scalar_subquery(), 0
)
_NEWEST = Prepared(select(NEWEST_VERSION))


def catalog(unit: Unit, *, newest: int | None = None) -> Catalog:
    """Return the catalog as of this transaction.

    `newest` is the id of the newest version where the caller has read it in this transaction.
    """
    if newest is None:
        newest = int(unit.run(_NEWEST).fetchone()[0])
    known = unit.store.catalog
    if known is None or known.newest_version != newest:
        known = reread(unit, newest)
    if unit.others is None:
        unit.others = known.others(unit.site)
    return known


def reread(unit: Unit, newest: int) -> Catalog:
    """Read the catalog again and keep it, unless this transaction made lanes that it may yet undo."""
    known = _read(unit, newest)
    unit.store.catalog = None if unit.lanes else known
    return known


def pipeline_of(unit: Unit, version_id: VersionId) -> "Pipeline":
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
        from stoker.spec import canon  # and with it all that pipelines are made of

        found = canon.load_pipeline(text)
        store.versions[version_id] = found
    return found


def _read(unit: Unit, newest: int) -> Catalog:
    of_version = tables.version.c.id == tables.pipeline.c.version_id
    current = select(tables.pipeline, tables.version.c.number).join(tables.version, of_version)
    pipelines = {row.id: row for row in unit.execute(current)}
    hashes = {row.id: row.hash for row in unit.execute(select(tables.body))}
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for row in unit.execute(select(tables.edge)):
        after.setdefault(row.step_id, []).append(row.successor_id)
        before.setdefault(row.successor_id, []).append(row.step_id)
    patterns: dict[int, dict[int, int]] = {}
    lanes: dict[int, dict[LaneKey, int]] = {}
    for row in unit.execute(select(tables.lane)):
        if row.share is None:
            patterns.setdefault(row.step_id, {})[row.level] = row.id
        else:
            lanes.setdefault(row.step_id, {})[row.level, row.share, row.host] = row.id
    rows = unit.execute(select(tables.step)).fetchall()
    outposts = frozenset(unit.execute(select(tables.outpost.c.name)).scalars())
    specs = {
        row.id: pipeline_of(unit, VersionId(pipelines[row.pipeline_id].version_id)).step(row.name)
        for row in rows
        if not row.is_removed
    }
    companies: dict[tuple[int, str | None], list[int]] = {}
    for row in rows:
        if row.id in specs:
            company = companies.setdefault((row.pipeline_id, specs[row.id].together), [])
            company.append(row.id)
    steps = {}
    for row in rows:
        of, spec = pipelines[row.pipeline_id], specs.get(row.id)
        name = spec.together if spec is not None else None
        steps[row.id] = StepEntry(
            id=row.id,
            pipeline_id=row.pipeline_id,
            pipeline=of.name,
            name=row.name,
            position=row.position,
            body_id=row.body_id,
            body_hash=hashes[row.body_id],
            spec=spec,
            site=row.site,
            is_foreign=row.site != unit.store.site,
            outpost=spec.site if spec is not None and spec.site in outposts else None,
            predecessors=tuple(sorted(before.get(row.id, ()))),
            successors=tuple(sorted(after.get(row.id, ()))),
            patterns=patterns.get(row.id, {}),
            lanes=lanes.get(row.id, {}),
            together=tuple(companies[row.pipeline_id, name]) if name is not None else (),
        )
    return Catalog(
        newest_version=newest,
        sharing=newest_sharing(unit),
        steps=steps,
        by_lane={lane: entry for entry in steps.values() for lane in entry.lanes.values()},
        by_name={(entry.pipeline, entry.name): entry for entry in steps.values()},
        current={row.name: VersionId(row.version_id) for row in pipelines.values()},
        numbers={row.name: row.number for row in pipelines.values()},
        pipeline_ids={row.name: row.id for row in pipelines.values()},
    )
