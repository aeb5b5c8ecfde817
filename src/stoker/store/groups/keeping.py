"""What must not be forgotten because a group needs it, and what remains of members that are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select, update

from stoker.model.states import ItemState
from stoker.store import tables
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.groups.conditions import is_told
from stoker.store.groups.followed import all_followed
from stoker.store.groups.placing import mark_changed
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

_G, _M, _I = tables.item_group, tables.member, tables.item
_CLOSED = (ItemState.DONE.value, ItemState.CANCELLED.value)


def needed_by_groups(unit: Unit, items: Sequence[int]) -> set[int]:
    """Return those of these items that a group needs which is not complete, or not done.

    So does an item of a pipeline whose groups have not been looked at since it was registered.
    """
    followers = {one.pipeline_id: set[int]() for _, _, one in all_followed(unit)}
    for _, _, one in all_followed(unit):
        followers[one.pipeline_id].add(one.source_id)
    unseen = set(_never_looked_at(unit))
    concerned = followers.keys() | unseen
    if not concerned:
        return set()
    query = select(_I.c.id, _I.c.pipeline_id).where(
        _I.c.id.in_(items), _I.c.pipeline_id.in_(concerned)
    )
    of_pipeline = {row.id: row.pipeline_id for row in unit.execute(query)}
    wanted = {
        (item_id, source_id)
        for item_id, pipeline_id in of_pipeline.items()
        for source_id in followers.get(pipeline_id, ())
    }
    spared = {tuple(row) for row in unit.execute(_not_needed(list(of_pipeline)))}
    needed = {item_id for item_id, _ in wanted - spared}
    return needed | {item_id for item_id, one in of_pipeline.items() if one in unseen}


def _never_looked_at(unit: Unit) -> "Iterator[int]":
    """Yield the ids of pipelines that groups follow of which nobody has looked for any yet."""
    known = catalog(unit)
    looked = {(pipeline, name) for pipeline, name, _ in all_followed(unit)}
    for name, version in known.current.items():
        for source in pipeline_of(unit, version).sources:
            if source.group is not None and (name, source.name) not in looked:
                followed = known.pipeline_ids.get(source.group.pipeline)
                if followed is not None:
                    yield followed


def _not_needed(items: Sequence[int]) -> Any:
    """A query for pairs of item and source of which the group, if there is one, is done with it."""
    group_item = _I.alias("group_item")
    is_as_told = and_(_M.c.told_state == _M.c.state, _M.c.told_tries == _M.c.tries)
    is_done = or_(group_item.c.id.is_(None), group_item.c.state.in_(_CLOSED))
    is_complete = and_(is_told(), func.coalesce(_G.c.due_us, 1) != 0, is_as_told, is_done)
    return (
        select(_M.c.item_id, _M.c.source_id)
        .select_from(
            _M.outerjoin(_G, _G.c.id == _M.c.group_id).outerjoin(
                group_item, group_item.c.id == _G.c.item_id
            )
        )
        .where(_M.c.item_id.in_(items), or_(_M.c.group_id.is_(None), is_complete))
    )


def note_forgotten(unit: Unit, items: Sequence[int]) -> None:
    """These items are being deleted: groups know that they had them, or that they are gone as items."""
    unit.execute(update(_G).where(_G.c.item_id.in_(items)).values(item_id=None))
    of_items = _M.c.item_id.in_(items)
    query = select(_M.c.group_id).where(of_items, _M.c.group_id.is_not(None)).distinct()
    groups = set(unit.execute(query).scalars())
    unit.execute(update(_M).where(of_items).values(is_forgotten=True))
    mark_changed(unit, groups)
