"""What must hold of groups at every moment, for `stoker store check` and for tests."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import and_, case, func, or_, select

from stoker.model.states import MemberState
from stoker.store import tables
from stoker.store.groups.due import counted
from stoker.store.unit import Unit

_G, _M, _I = tables.item_group, tables.member, tables.item
_NAMES = ("members", "over_n", "done_n", "bad_n", "changed_n", "forgotten_n")


def check_groups(unit: Unit) -> Iterator[str]:
    """Yield what is wrong with groups and members. Those to be counted at the next look are left out."""
    now = counted(_M.c.group_id.is_not(None)).subquery()
    differs = [func.coalesce(now.c[name], 0) != _G.c[name] for name in _NAMES]
    query = select(_G.c.key, *(_G.c[name] for name in _NAMES), now.c.members.label("there"))
    query = query.select_from(_G.outerjoin(now, now.c.group_id == _G.c.id))
    is_counted = func.coalesce(_G.c.due_us, 1) != 0
    for row in unit.execute(query.where(is_counted, or_(*differs))):
        yield f"group `{row.key}` counts {row.members:,} members, and has {row.there or 0:,}, or they differ"
    yield from _strays(unit)
    told = select(_G.c.key).select_from(_G.outerjoin(_I, _I.c.id == _G.c.item_id))
    for row in unit.execute(told.where(_G.c.item_id.is_not(None), _I.c.id.is_(None))):
        yield f"group `{row.key}` is an item that is not there"


def _strays(unit: Unit) -> Iterator[str]:
    of_group: Any = _M.outerjoin(_G, _G.c.id == _M.c.group_id).outerjoin(
        _I, _I.c.id == _M.c.item_id
    )
    query = select(_M.c.item_id, _M.c.group_id, _M.c.is_forgotten, _I.c.key, _G.c.key.label("of"))
    no_group = and_(_M.c.group_id.is_not(None), _G.c.id.is_(None))
    no_item = and_(~_M.c.is_forgotten, _I.c.id.is_(None))
    elsewhere = and_(_M.c.group_id.is_not(None), _G.c.source_id != _M.c.source_id)
    wrong_state = case((_M.c.state.in_([state.value for state in MemberState]), 0), else_=1) == 1
    for row in unit.execute(
        query.select_from(of_group).where(or_(no_group, no_item, elsewhere, wrong_state))
    ):
        yield f"member {row.key or row.item_id} of group `{row.of or row.group_id}` is not what it should be"
