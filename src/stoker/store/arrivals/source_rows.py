"""How the sources of a store stand, for people and programs."""

import json
from collections.abc import Collection, Iterator

from sqlalchemy import select

from stoker.store import tables
from stoker.store.status_rows import SourceRow
from stoker.store.times import moment
from stoker.store.unit import Unit

_S, _P = tables.source, tables.pipeline
OF_PROGRESS = " progress"  # ends the name of what writes back into a declared feed


def source_rows(unit: Unit, pipeline: str | None = None) -> Iterator[SourceRow]:
    """Yield how the sources stand that were looked at and are still declared, of one pipeline or all."""
    query = select(_S, _P.c.name.label("pipeline")).join(_P, _P.c.id == _S.c.pipeline_id)
    if pipeline is not None:
        query = query.where(_P.c.name == pipeline)
    rows = unit.execute(query.order_by(_P.c.name, _S.c.name)).fetchall()
    if not rows:
        return
    declared = _declared(unit, {row.pipeline_id for row in rows})
    for row in rows:
        if row.name.removesuffix(OF_PROGRESS) not in declared[row.pipeline_id]:
            continue
        yield SourceRow(
            pipeline=row.pipeline,
            source=row.name,
            kind=row.kind,
            looked_at=moment(row.looked_us),
            took_at=moment(row.took_us),
            taken=row.taken,
            pending=row.pending,
            pending_since=moment(row.pending_us),
            trouble=row.trouble,
        )


def _declared(unit: Unit, pipelines: Collection[int]) -> dict[int, set[str]]:
    """Return the names of the sources that the current versions of these pipelines declare."""
    version = tables.version
    query = (
        select(_P.c.id, version.c.spec)
        .join(version, version.c.id == _P.c.version_id)
        .where(_P.c.id.in_(pipelines))
    )
    return {
        row.id: {one["name"] for one in json.loads(row.spec).get("sources", ())}
        for row in unit.execute(query)
    }
