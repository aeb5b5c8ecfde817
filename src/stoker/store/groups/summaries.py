"""What lists of items and `status` say of groups: counts, and the group or volume that an item is.

Quick where there are no groups: nothing of pipelines without any is read but their text.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, or_, select

from stoker.store import tables
from stoker.store.groups.conditions import WAITING, is_told
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.model.source import Group

_G, _M, _S, _P, _V = (
    tables.item_group, tables.member, tables.source, tables.pipeline, tables.version,
)  # fmt: skip
_DECLARATION = '"group":{'  # in the text of each pipeline that has a source of groups


def declared_groups(unit: Unit) -> dict[tuple[str, str], "Group"]:
    """Return the groups that pipelines of now declare, by pipeline and source."""
    from stoker.store.catalog import pipeline_of

    query = (
        select(_P.c.name, _P.c.version_id)
        .join(_V, _V.c.id == _P.c.version_id)
        .where(_V.c.spec.contains(_DECLARATION))
        .order_by(_P.c.id)
    )
    return {
        (row.name, source.name): source.group
        for row in unit.execute(query).fetchall()
        for source in pipeline_of(unit, row.version_id).sources
        if source.group is not None
    }


def outdated(row: Any) -> int:
    """Return how many members of a group that was complete are new, otherwise or no longer there."""
    gone = max(0, int(row.told_members or 0) - int(row.members))
    return int(row.changed_n) + gone


def groups_of_items(unit: Unit, items: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return what these items, if they are groups, are made of."""
    columns = (
        _G.c.item_id, _G.c.members, _G.c.bad_n, _G.c.changed_n, _G.c.told_members, _G.c.told_missing,
        _G.c.told_us,
    )  # fmt: skip
    return {
        row.item_id: {
            "members": row.members,
            "failed": row.bad_n,
            "missing": row.told_missing or 0,
            "outdated": 0 if row.told_us is None else outdated(row),
        }
        for row in unit.execute(select(*columns).where(_G.c.item_id.in_(items)))
    }


def last_volumes(unit: Unit, items: Sequence[int]) -> dict[int, str]:
    """Return the key of the last volume that each of these items is in, if any."""
    query = select(_M.c.item_id, _G.c.key).join(_G, _G.c.id == _M.c.group_id)
    rows = unit.execute(
        query.where(_M.c.item_id.in_(items), _G.c.number.is_not(None)).order_by(_G.c.number)
    )
    return {row.item_id: row.key for row in rows}


def counts(unit: Unit) -> dict[str, dict[str, int]]:
    """Return how many groups stand where, by the name of their pipeline."""
    declared = declared_groups(unit)
    if not declared:
        return {}
    late = [
        and_(_P.c.name == pipeline, _G.c.since_us < unit.now_us - int(group.overdue_s * 1e6))
        for (pipeline, _), group in declared.items()
        if group.overdue_s is not None
    ]
    stands = and_(is_told(), func.coalesce(_G.c.due_us, 1) != 0)

    def n(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0))

    query = (
        select(
            _P.c.name,
            n(stands).label("complete"),
            n(and_(~stands, _G.c.told_us.is_(None))).label("waiting"),
            (n(and_(~stands, or_(*late))) if late else func.sum(0)).label("overdue"),
            n(and_(~stands, _G.c.told_us.is_not(None))).label("outdated"),
        )
        .select_from(_G.join(_S, _S.c.id == _G.c.source_id).join(_P, _P.c.id == _S.c.pipeline_id))
        .where(_G.c.key != WAITING)
        .group_by(_P.c.name)
    )
    names = ("complete", "waiting", "overdue", "outdated")
    found = {
        row[0]: {name: int(value) for name, value in zip(names, row[1:], strict=True)}
        for row in unit.execute(query)
    }
    return {name: found.get(name, dict.fromkeys(names, 0)) for name, _ in declared}
