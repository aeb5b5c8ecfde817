"""What a source of groups follows: the pipeline of its members, and which of their steps count."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.store import tables
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.steps import Catalog
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.model.source import Group

_S, _P, _U = tables.source, tables.pipeline, tables.unsettled_step
_WITHOUT = ("members", "complete_when", "settle_s", "overdue_s", "allow_failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A source of groups as of one moment.

    `steps` are those that a member has to be over with; of `ends`, one has to be done for the member
    to be done, and not skipped. A member is another when one of `tried` was done again: any step that
    counts, or, for volumes, those whose outputs go in. `reading` changes with all that decides on
    memberships.
    """

    source_id: int
    group: "Group"
    pipeline_id: int  # whose items are members
    members_of: "Pipeline"
    steps: tuple[int, ...]
    ends: tuple[int, ...]
    tried: tuple[int, ...]
    reading: str
    is_settled: bool  # every item has the tasks of the current version


def followed_by(unit: Unit, source_id: int, group: "Group") -> Followed | None:
    """Return what the source follows; None while the store does not have that pipeline."""
    known = catalog(unit)
    name = group.pipeline
    if name not in known.current:
        return None
    steps, ends = _counting(known, group)
    if not steps:
        return None
    open_steps = set(unit.execute(select(_U.c.step_id)).scalars())
    declared = {key: value for key, value in asdict(group).items() if key not in _WITHOUT}
    tried = _packed(known, group) or steps
    text = json.dumps([declared, known.pipeline_ids[name], steps, ends], sort_keys=True)
    return Followed(
        source_id=source_id,
        group=group,
        pipeline_id=known.pipeline_ids[name],
        members_of=pipeline_of(unit, known.current[name]),
        steps=steps,
        ends=ends,
        tried=tried,
        reading=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        is_settled=open_steps.isdisjoint(steps),
    )


def _counting(known: Catalog, group: "Group") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids of the steps that count, and of those that end a member."""
    entries = known.of_pipeline(group.pipeline)
    if group.step is None:
        every = tuple(sorted(entry.id for entry in entries))
        return every, every
    last = known.by_name.get((group.pipeline, group.step))
    if last is None or last.spec is None:
        return (), ()
    found: set[int] = set()
    todo = [last.id]
    while todo:
        step = todo.pop()
        found.add(step)
        todo += [one for one in known.steps[step].predecessors if one not in found]
    return tuple(sorted(found)), (last.id,)


def _packed(known: Catalog, group: "Group") -> tuple[int, ...]:
    """Return the ids of the steps whose outputs go into volumes."""
    names = {(group.pipeline, name.split(".")[1]) for name in group.pack}
    return tuple(sorted(known.by_name[name].id for name in names if name in known.by_name))


def all_followed(unit: Unit) -> list[tuple[str, str, Followed]]:
    """Return what every source of groups follows that was ever looked at: pipeline, name, what."""
    known = catalog(unit)
    query = select(_S.c.id, _S.c.name, _P.c.name.label("pipeline"))
    rows = unit.execute(
        query.join(_P, _P.c.id == _S.c.pipeline_id).where(_S.c.kind == "group")
    ).fetchall()
    found = []
    for row in rows:
        pipeline = pipeline_of(unit, known.current[row.pipeline])
        for source in pipeline.sources:
            if source.name == row.name and source.group is not None:
                one = followed_by(unit, row.id, source.group)
                if one is not None:
                    found.append((row.pipeline, row.name, one))
    return found
