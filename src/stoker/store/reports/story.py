"""The story of one item: what it is, what was tried, and what people did to it."""

import json
import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select, text

from stoker.errors import NotFound, UserError
from stoker.model.selection import Selection
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.dialects.constructs import seldom_key
from stoker.store.forecasts import estimates, open_work
from stoker.store.forecasts.freshness import catch_up
from stoker.store.ids import digest_of, text_of
from stoker.store.journal import SELDOM
from stoker.store.reports.attempts import attempts_of_item
from stoker.store.reports.lists import (
    LEARN_LIMIT_S,
    TASK,
    item_columns,
    item_row,
    left_to_do,
    task_row,
)
from stoker.store.rows import Happening, Story
from stoker.store.times import moment
from stoker.store.unit import Unit, param

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.store.unit import Store

_I, _P, _S, _T, _J = tables.item, tables.pipeline, tables.step, tables.task, tables.journal
_NEAR = 3
_HAPPENINGS = (
    select(_J.c.at_us, _J.c.event, _J.c.step, _J.c.attempt, _J.c.data)
    .where(
        _J.c.pipeline == param("pipeline"), seldom_key(_J.c.key) == param("key"), _J.c.at_us >= param("since"),
        text(SELDOM), _J.c.event != "condense",
    )
    .order_by(_J.c.id)
)  # fmt: skip


def find_item(unit: Unit, key: str, *, pipeline: str | None = None) -> Any:
    """Return the row of the item of that key, or whose path that is.

    NotFound names keys that are near; UserError where two pipelines have it.
    """
    query = select(_I.c.id, _I.c.pipeline_id, _P.c.name.label("pipeline"), *item_columns())
    query = query.join(_P, _P.c.id == _I.c.pipeline_id)
    if pipeline is not None:
        selections.check(unit, Selection(pipeline=pipeline))
        query = query.where(_P.c.name == pipeline)
    path = os.fsencode(os.path.realpath(key)) if "\0" not in key else b""
    at_path = and_(_I.c.path_digest == digest_of(path), _I.c.path == path)
    for condition in (selections.has_key([key]), at_path):
        rows = unit.execute(query.where(condition).order_by(_P.c.name)).fetchall()
        if len(rows) > 1:
            names = " and of ".join(f"`{row.pipeline}`" for row in rows)
            raise UserError(f"`{key}` is an item of {names}; say which with `--pipeline`")
        if rows:
            return rows[0]
    raise NotFound(f"there is no item `{key}`{_near(unit, key)}")


def _near(unit: Unit, key: str) -> str:
    """Return keys that end or begin like this one, as the end of a message."""
    name = key.rstrip("/").rpartition("/")[2]
    ends = _I.c.key.endswith(f"/{name}", autoescape=True)
    begins = and_(_I.c.key > key, _I.c.key < key + "\U0010ffff")
    for condition in (begins, ends):
        near = unit.execute(select(_I.c.key).where(condition).limit(_NEAR)).scalars().all()
        if near:
            return "; did you mean " + " or ".join(f"`{one}`" for one in near) + "?"
    return "; `stoker items` lists them"


def story(store: "Store", key: str, *, pipeline: str | None = None) -> Story:
    """Return everything that is known of an item, in order."""
    catch_up(store, fold_s=10.0, learn_s=LEARN_LIMIT_S)
    with store.reading() as unit:
        item = find_item(unit, key, pipeline=pipeline)
        query = selections.task_query(Selection(), *TASK).where(_T.c.item_id == item.id)
        fits = estimates.fits(unit)
        ends = open_work.of_item(unit, item.id, left_to_do(unit))
        return Story(
            item=item_row(item),
            tasks=tuple(task_row(row, fits) for row in unit.execute(query.order_by(_S.c.position))),
            attempts=tuple(attempts_of_item(unit, item.id)),
            happenings=tuple(_happenings(unit, item)),
            eta_s=round(ends.eta_s, 3) if ends else None,
            eta_interval_s=(round(ends.low_s, 3), round(ends.high_s, 3)) if ends else None,
        )


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
