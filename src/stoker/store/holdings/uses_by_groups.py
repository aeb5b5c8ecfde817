"""Which temporary outputs groups still need: those of members, until the group's steps have used them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import and_, func, or_, select

from stoker.model.pipeline import ItemKind, Pipeline, Step, Warm
from stoker.model.states import TaskState
from stoker.spec.member_names import VALUES, lists_used
from stoker.spec.parts import Placeholder, command_texts, parse
from stoker.store import tables
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.steps import Catalog
from stoker.store.unit import Unit

_G, _M, _T, _X, _S, _P = (
    tables.item_group, tables.member, tables.task, tables.temporary, tables.source, tables.pipeline,
)  # fmt: skip
_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)


class Use(NamedTuple):
    """Outputs of one step that steps of a group read; `source_id` is None while nobody has looked."""

    source_id: int | None
    step_id: int
    outputs: frozenset[str]
    users: frozenset[int]
    counting: frozenset[int]  # the steps whose attempts make another member of it


def uses(unit: Unit) -> list[Use]:
    """Return what groups read of temporary outputs, by the current versions of all pipelines."""
    known = catalog(unit)
    sources: dict[tuple[str, str], int] | None = None
    found: list[Use] = []
    for name, version in known.current.items():
        pipeline = pipeline_of(unit, version)
        if pipeline.items is not ItemKind.GROUPS:
            continue
        if sources is None:
            query = select(_P.c.name, _S.c.name.label("source"), _S.c.id)
            rows = unit.execute(query.join(_S, _S.c.pipeline_id == _P.c.id))
            sources = {(row.name, row.source): row.id for row in rows}
        for source in pipeline.sources:
            if source.group is not None and source.group.pipeline in known.current:
                source_id = sources.get((name, source.name))
                found += _uses_of(unit, known, pipeline, source.name, source_id)
    return found


def _uses_of(
    unit: Unit, known: Catalog, pipeline: Pipeline, source: str, source_id: int | None
) -> Iterator[Use]:
    group = next(one.group for one in pipeline.sources if one.name == source)
    if group is None:
        return
    followed = pipeline_of(unit, known.current[group.pipeline])
    packed = [name.split(".")[1:] for name in group.pack]
    tried = {name for name, _ in packed} or _counting(followed, group.step)
    counting = _ids(known, group.pipeline, tried)
    for step in followed.steps:
        temporary = {output.name for output in step.outputs if output.temp}
        if not temporary:
            continue
        users: dict[str, set[str]] = {}
        for own in pipeline.steps:
            for output in temporary & _read_by(own, step.name, temporary, packed):
                # A volume is proven by the steps after the one that packs it, so all of them count.
                names = {one.name for one in pipeline.steps} if packed else {own.name}
                users.setdefault(output, set()).update(names)
        for output, names in users.items():
            entry = known.by_name[group.pipeline, step.name]
            ids = _ids(known, pipeline.name, names)
            yield Use(source_id, entry.id, frozenset([output]), ids, counting)


def _counting(followed: Pipeline, step: str | None) -> set[str]:
    if step is None:
        return {one.name for one in followed.steps}
    found: set[str] = set()
    todo = [step]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += followed.step(name).after
    return found


def _read_by(own: Step, step: str, temporary: set[str], packed: list[list[str]]) -> set[str]:
    """Return which outputs of `step` a step of a group reads, as far as one can know."""
    named = {output for before, output in lists_used(own) if before == step and output != VALUES}
    texts = command_texts(own)
    reads_all = isinstance(own.action, Warm) or any(
        "STOKER_MEMBERS" in text
        or any(isinstance(part, Placeholder) and part.name == "members" for part in parse(text))
        for text in texts
    )
    if not reads_all:
        return named
    if packed:
        return named | {output for before, output in packed if before == step}
    return named | temporary


def _ids(known: Catalog, pipeline: str, names: set[str]) -> frozenset[int]:
    entries = (known.by_name.get((pipeline, name)) for name in names)
    return frozenset(entry.id for entry in entries if entry is not None)


def needed(of: Use) -> Any:
    """The condition that a temporary output of a task may still be read by a group.

    As a rule of what is known: an item that the groups' source has not looked at since its last
    attempt may be a member of one.
    """
    is_of_use = and_(_T.c.step_id == of.step_id, _X.c.name.in_(of.outputs))
    if of.source_id is None:
        return is_of_use
    now, user = _T.alias("now"), _T.alias("user")
    tries = (
        select(func.sum(now.c.number))
        .where(now.c.item_id == _T.c.item_id, now.c.step_id.in_(of.counting))
        .correlate(_T)
        .scalar_subquery()
    )
    open_user = (
        select(user.c.id)
        .where(
            user.c.item_id == _G.c.item_id,
            user.c.step_id.in_(of.users),
            user.c.state.not_in(_SATISFIED),
        )
        .correlate(_G)
        .exists()
    )
    is_told = and_(
        _G.c.changed_n == _G.c.ignored_n,
        _G.c.members == func.coalesce(_G.c.told_members, -1),
        func.coalesce(_G.c.due_us, 1) != 0,
    )
    is_used = (
        select(_M.c.item_id)
        .select_from(_M.outerjoin(_G, _G.c.id == _M.c.group_id))
        .where(
            _M.c.item_id == _T.c.item_id,
            _M.c.source_id == of.source_id,
            _M.c.tries == tries,
            or_(_M.c.group_id.is_(None), and_(is_told, ~open_user)),
        )
        .correlate(_T)
        .exists()
    )
    return and_(is_of_use, ~is_used)
