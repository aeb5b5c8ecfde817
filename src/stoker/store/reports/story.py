"""The story of one item: what it is, what was tried, and what people did to it."""

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text

from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.dialects.constructs import seldom_key
from stoker.store.forecasts import estimates
from stoker.store.forecasts.freshness import LEARN_LIMIT_S, catch_up
from stoker.store.groups.summaries import groups_of_items, last_volumes
from stoker.store.ids import text_of
from stoker.store.journal import SELDOM
from stoker.store.pilots.listed import pilots_of_item
from stoker.store.reports.attempts import attempts_of_item
from stoker.store.reports.finding import find_item
from stoker.store.reports.lists import TASK, item_row, task_row
from stoker.store.story_rows import Happening, Story
from stoker.store.times import moment
from stoker.store.unit import Unit, param

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stoker.model.forecast import Forecast
    from stoker.store.unit import Store

_I, _P, _S, _T, _J = tables.item, tables.pipeline, tables.step, tables.task, tables.journal
_GOING = (TaskState.BLOCKED, TaskState.READY, TaskState.RUNNING)
_HAPPENINGS = (
    select(_J.c.at_us, _J.c.event, _J.c.step, _J.c.attempt, _J.c.data)
    .where(
        _J.c.pipeline == param("pipeline"), seldom_key(_J.c.key) == param("key"), _J.c.at_us >= param("since"),
        text(SELDOM), _J.c.event.not_in(("condense", "members")),
    )
    .order_by(_J.c.id)
)  # fmt: skip


def story(store: "Store", key: str, *, pipeline: str | None = None) -> Story:
    """Return everything that is known of an item, in order."""
    catch_up(store, fold_s=10.0, learn_s=LEARN_LIMIT_S)
    with store.reading() as unit:
        item = find_item(unit, key, pipeline=pipeline)
        query = selections.task_query(Selection(), *TASK).where(_T.c.item_id == item.id)
        fits = estimates.fits(unit)
        tasks = unit.execute(query.order_by(_S.c.position)).fetchall()
        ends = _ends(unit, item.id, tasks)
        return Story(
            item=item_row(
                item,
                groups_of_items(unit, [item.id]).get(item.id),
                last_volumes(unit, [item.id]).get(item.id),
            ),
            tasks=tuple(task_row(row, fits) for row in tasks),
            attempts=tuple(attempts_of_item(unit, item.id)),
            pilots=tuple(pilots_of_item(unit, item.id)),
            happenings=tuple(_happenings(unit, item)),
            eta_s=round(ends.eta_s, 3) if ends else None,
            eta_interval_s=(round(ends.low_s, 3), round(ends.high_s, 3)) if ends else None,
        )


def _ends(unit: Unit, item_id: int, tasks: "Sequence[Any]") -> "Forecast | None":
    """Return when the last task of the item ends; None where nothing of it is going to run."""
    if not any(row.state in _GOING for row in tasks):
        return None
    from stoker.store.forecasts import open_work
    from stoker.store.reports.overview import left_to_do

    return open_work.of_item(unit, item_id, left_to_do(unit))


def _happenings(unit: Unit, item: Any) -> list[Happening]:
    """What the journal says of the item since it was registered; it may have been known before.

    Without what happens to every task, of which the attempts tell.
    """
    found = []
    why = None  # it was registered, as the person said
    values = {"pipeline": item.pipeline, "key": item.key, "since": item.registered_us}
    for row in unit.execute(_HAPPENINGS, values):
        data: Mapping[str, Any] = json.loads(row.data) if row.data else {}
        if row.event == "push" and row.at_us == item.registered_us:
            why = data["reason"]
            continue
        found.append(
            Happening(
                at=moment(row.at_us),
                event=row.event,
                step=row.step,
                attempt=text_of(row.attempt) if row.attempt is not None else None,
                by=data.get("by"),
                reason=data.get("reason"),
            )
        )
    at = moment(item.registered_us)
    registered = Happening(
        at=at, event="register", step=None, attempt=None, by=item.by_user, reason=why
    )
    return [registered, *found]
