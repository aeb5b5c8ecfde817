"""How a group stands, as conditions of SQL: for those who read groups, and for those who make them."""

from typing import Any

from sqlalchemy import and_, func, or_

from stoker.store import tables

WAITING = ""  # the group of members that wait to be put into a volume

_G = tables.item_group


def is_told() -> Any:
    """The condition that a group is as it was registered, or `on_change` lets it be."""
    is_as_told = _G.c.members == func.coalesce(_G.c.told_members, -1)
    return and_(_G.c.changed_n == _G.c.ignored_n, is_as_told)


def is_waiting() -> Any:
    """The condition that a group is not complete as it is."""
    is_of_time = and_(_G.c.key != WAITING, _G.c.number.is_(None))  # volumes are filled as they are
    return and_(or_(~is_told(), _G.c.due_us == 0), is_of_time)
