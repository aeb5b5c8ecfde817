"""What needs a person, in words: sources, workers, tables, batch systems and sites in trouble."""

from sqlalchemy import and_, or_, select

from stoker.model.states import WorkerState
from stoker.store import tables
from stoker.store.outposts.listed import site_status
from stoker.store.unit import Unit

_P = tables.pipeline
_SILENT_US = (
    15 * 60 * 1_000_000
)  # a batch system that is silent for less is asked again, and no news


def troubles_of(unit: Unit) -> dict[str, str | None]:
    """Return what needs a person, in words, with the pipeline that it is about.

    A batch system that Stoker itself holds, or that has not answered for a quarter of an hour, and a site
    that has not for its `overdue`, count; one that a person holds is no news to people.
    """
    found: dict[str, str | None] = {}
    source, worker, table = tables.source, tables.worker, tables.value_table
    query = select(_P.c.name.label("pipeline"), source.c.name, source.c.trouble)
    query = query.join(_P, _P.c.id == source.c.pipeline_id).where(source.c.trouble.is_not(None))
    for row in unit.execute(query):
        first = row.trouble.splitlines()[0] if row.trouble else ""
        found[f"source {row.pipeline}/{row.name}: {first}"] = row.pipeline
    alive = and_(worker.c.state == WorkerState.ALIVE.value, worker.c.trouble.is_not(None))
    for row in unit.execute(select(worker.c.name, worker.c.trouble).where(alive)):
        found[f"worker {row.name}: {row.trouble}"] = None
    query = select(_P.c.name.label("pipeline"), table.c.name, table.c.trouble)
    query = query.join(_P, _P.c.id == table.c.pipeline_id).where(table.c.trouble.is_not(None))
    for row in unit.execute(query):
        found[f"table {row.pipeline}/{row.name}: {row.trouble}"] = row.pipeline
    return found | dict.fromkeys(_batch_systems(unit)) | dict.fromkeys(_sites(unit))


def _batch_systems(unit: Unit) -> list[str]:
    batch = tables.batch
    is_held = batch.c.held_by == ""  # by Stoker itself
    since_us = unit.now_us - _SILENT_US
    is_silent = and_(
        batch.c.trouble.is_not(None),
        or_(batch.c.answered_us.is_(None), batch.c.answered_us < since_us),
    )
    columns = (batch.c.name, batch.c.held_by, batch.c.reason, batch.c.trouble)
    query = select(*columns).where(~batch.c.is_removed, or_(is_held, is_silent))
    return [
        f"batch system {row.name} is held: {row.reason}"
        if row.held_by == ""
        else f"batch system {row.name} does not answer: {row.trouble}"
        for row in unit.execute(query.order_by(batch.c.name))
    ]


def _sites(unit: Unit) -> list[str]:
    found = []
    for name, site in site_status(unit).items():
        if site.overdue:
            why = f": {site.trouble}" if site.trouble else ""
            found.append(f"site {name} has not answered for longer than it may{why}")
        if site.system_trouble:
            found.append(f"site {name} brings no worker: {site.system_trouble}")
    return found
