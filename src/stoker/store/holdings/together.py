"""Steps that stay together: once one of an item's has begun on a host, that host alone runs the rest.

The task says which host (`task.host`), and stands in that host's lane when it is ready.
"""

from collections.abc import Collection

from sqlalchemy import and_, select, update

from stoker.store import tables
from stoker.store.lanes import lane_of
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Prepared, Unit, param, param_list

_T = tables.task
_OF_ITEM = Prepared(
    select(_T.c.id, _T.c.step_id, _T.c.lane, _T.c.level, _T.c.host)
    .where(_T.c.item_id == param("item"), _T.c.step_id.in_(param_list("steps")))
    .order_by(_T.c.id)
    .with_for_update(skip_locked=True)
)


def bind(unit: Unit, known: Catalog, entry: StepEntry, item_id: int, share: str, host: str) -> bool:
    """All of the item that stays together with this step belongs to `host`; the caller claims it.

    False if others are at the item just now, or if it belongs to another host, in whose lane the
    step's task then stands.
    """
    rows = unit.run(_OF_ITEM, item=item_id, steps=list(entry.together)).fetchall()
    if len(rows) < len(entry.together):
        return False
    owner = next((row[4] for row in rows if row[4] is not None), host)
    _belong(unit, known, rows, share, owner)
    return bool(owner == host)


def unbind(unit: Unit, known: Catalog, item_id: int, steps: Collection[int], share: str) -> None:
    """These steps of the item may run on any host. The caller has locked the item's tasks."""
    of = and_(_T.c.item_id == item_id, _T.c.step_id.in_(steps), _T.c.host.is_not(None))
    columns = (_T.c.id, _T.c.step_id, _T.c.lane, _T.c.level, _T.c.host)
    _belong(unit, known, unit.execute(select(*columns).where(of)).fetchall(), share, None)


def _belong(
    unit: Unit, known: Catalog, rows: Collection[tuple[int, int, int | None, int, str | None]],
    share: str, host: str | None,
) -> None:  # fmt: skip
    for task_id, step_id, lane, level, _ in rows:
        columns: dict[str, object] = {"host": host}
        if lane is not None:
            columns["lane"] = lane_of(unit, known.steps[step_id], level, share, host)
        unit.execute(update(_T).where(_T.c.id == task_id).values(**columns))
