"""Renaming: a pipeline or a step keeps its row, and with it its tasks, history and outputs.

A version that says `renamed_from` gives the row another name, in the transaction that sets the
version. Counts of what the journal has not numbered yet go by names, so they are folded first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sqlalchemy import select, update

from stoker.model.id_types import VersionId
from stoker.model.pipeline import Pipeline
from stoker.spec import canon
from stoker.store import tables
from stoker.store.catalog import pipeline_of
from stoker.store.journal_fold import fold_all
from stoker.store.unit import Unit

_P, _S, _V, _B, _J = (
    tables.pipeline, tables.step, tables.version, tables.body, tables.journal,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Renamed:
    """Which steps have another name, old to new, and which cannot: the name has tasks of its own."""

    steps: Mapping[str, str] = field(default_factory=dict)
    too_late: tuple[str, ...] = ()


def rename_pipeline(unit: Unit, pipeline: Pipeline) -> str | None:
    """The pipeline that this one says it was has its name now; return the old one, None if none.

    So have the rows of the journal, by which the history of items is found.
    """
    old = pipeline.renamed_from
    if old is None:
        return None
    known = unit.execute(select(_P.c.name).where(_P.c.name.in_([pipeline.name, old])))
    if known.scalars().all() != [old]:
        return None
    fold_all(unit)
    unit.execute(update(_P).where(_P.c.name == old).values(name=pipeline.name))
    unit.execute(update(_J).where(_J.c.pipeline == old).values(pipeline=pipeline.name))
    unit.store.catalog = unit.others = None
    return old


def is_too_late(unit: Unit, pipeline: Pipeline) -> bool:
    """Whether the pipeline and the one that it says it was are both known, so that nothing carries over."""
    names = {pipeline.name, pipeline.renamed_from}
    known = unit.execute(select(_P.c.name).where(_P.c.name.in_([*filter(None, names)])))
    return set(known.scalars()) == names


def rename_steps(unit: Unit, pipeline_id: int, before: VersionId, pipeline: Pipeline) -> Renamed:
    """The steps of the version before have their names of the new one.

    A step of which nothing but names has changed makes nothing outdated: its own, or those of steps
    before it in its templates.
    """
    query = select(_S.c.id, _S.c.name).where(_S.c.pipeline_id == pipeline_id)
    known = {row.name: row.id for row in unit.execute(query)}
    wanted = {old: new for old, new in _wishes(pipeline).items() if old in known}
    names = _possible(wanted, known)
    too_late = tuple(sorted(set(wanted.values()) - set(names.values())))
    if not names:
        return Renamed(too_late=too_late)
    fold_all(unit)
    for of in ("~{}", "{}"):  # by way of names that no step can have: two may swap theirs
        for old, new in names.items():
            unit.execute(update(_S).where(_S.c.id == known[old]).values(name=of.format(new)))
    _carry_bodies(unit, {known[old]: old for old in known}, names, before, pipeline)
    return Renamed(names, too_late)


def _wishes(pipeline: Pipeline) -> dict[str, str]:
    """Return which steps say that they were called otherwise, old name to new."""
    return {one.renamed_from: one.name for one in pipeline.steps if one.renamed_from is not None}


def _possible(wanted: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Return the renamings whose new name is free, or becomes free by another of them."""
    names = dict(wanted)
    while taken := [old for old, new in names.items() if new in known and new not in names]:
        for old in taken:
            del names[old]
    return names


def _carry_bodies(
    unit: Unit,
    steps: Mapping[int, str],
    names: Mapping[str, str],
    before: VersionId,
    pipeline: Pipeline,
) -> None:
    """The hash of a body that differs in names alone is that of the new version."""
    of_version = {step.name: step for step in pipeline_of(unit, before).steps}
    now = {step.name: canon.body_hash(step) for step in pipeline.steps}
    for step_id, old in steps.items():
        step, new = of_version.get(old), now.get(names.get(old, old))
        if step is not None and canon.body_hash(step, names) == new:
            is_it = (_B.c.step_id == step_id) & (_B.c.hash == canon.body_hash(step))
            unit.execute(update(_B).where(is_it).values(hash=new))


def names_since(unit: Unit, version_id: VersionId, pipeline: str) -> list[dict[str, str]]:
    """Return what the steps of a version were called in it and in each later one, by the first name."""
    query = (
        select(_V.c.id)
        .join(_P, _P.c.id == _V.c.pipeline_id)
        .where(_P.c.name == pipeline, _V.c.id >= version_id)
        .order_by(_V.c.id)
    )
    specs = [pipeline_of(unit, VersionId(one)) for one in unit.execute(query).scalars()]
    found = [{one.name: one.name for one in specs[0].steps}]
    for earlier, later in pairwise(specs):
        known = {one.name for one in earlier.steps}
        wanted = {old: new for old, new in _wishes(later).items() if old in known}
        names = _possible(wanted, known)
        found.append({first: names.get(name, name) for first, name in found[-1].items()})
    return found


def name_then(names: Sequence[Mapping[str, str]], step: str) -> str:
    """Return what a step was called first, by its name of today."""
    return next((first for first, name in names[-1].items() if name == step), step)
