"""Members whose temporary outputs a group needs once more are done again, as within an item."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.ends.redo import begin_again
from stoker.store.holdings.uses_by_groups import uses
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_AT_ONCE = 200  # members in a transaction
REASON = "a group needs its temporary output again"

_M, _T, _X = tables.member, tables.task, tables.temporary


def remake(store: "Store", source_id: int, groups: Sequence[int]) -> dict[int, int]:
    """Members of these groups whose temporary outputs were deleted are done again.

    Return how many of each group that has any. A group that is done again reads the outputs of all its members. In several transactions: a caller that
    comes next does the rest.
    """
    found: dict[int, set[int]] = {}
    while some := _remake(store, source_id, groups):
        for item_id, group_id in some:
            found.setdefault(group_id, set()).add(item_id)
    return {group_id: len(items) for group_id, items in found.items()}


@as_a_whole
def _remake(store: "Store", source_id: int, groups: Sequence[int]) -> set[tuple[int, int]]:
    with store.reading() as unit:
        used = [one for one in uses(unit) if one.source_id == source_id]
        if not used:
            return set()
        of_uses = or_(
            *(and_(_T.c.step_id == one.step_id, _X.c.name.in_(one.outputs)) for one in used)
        )
        query = (
            select(_M.c.item_id, _M.c.group_id, _T.c.step_id)
            .select_from(
                _M.join(_T, _T.c.item_id == _M.c.item_id).join(_X, _X.c.attempt == _T.c.attempt)
            )
            .where(
                _M.c.group_id.in_(groups),
                _M.c.source_id == source_id,
                _T.c.state == TaskState.DONE.value,
                _X.c.removed_us.is_not(None),
                of_uses,
            )
            .distinct()
            .order_by(_M.c.item_id)
            .limit(_AT_ONCE)
        )
        rows = unit.execute(query).fetchall()
    if not rows:
        return set()
    steps: dict[int, set[int]] = {}
    for row in rows:
        steps.setdefault(row.item_id, set()).add(row.step_id)
    with store.writing() as unit:
        begun = {one for one, again in steps.items() if begin_again(unit, one, again, REASON)}
    return {(row.item_id, row.group_id) for row in rows if row.item_id in begun}
