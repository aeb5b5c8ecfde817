"""The journal as people read it: what happened, newest first, page by page."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, select, text

from stoker.store import tables
from stoker.store.access.users import ACCESS_EVENTS
from stoker.store.ids import text_of
from stoker.store.journal import SELDOM
from stoker.store.story_rows import JournalPage, JournalRow
from stoker.store.times import moment

if TYPE_CHECKING:
    from stoker.store.unit import Store

WINDOW = 10_000  # rows that one page of people's acts looks at
_J = tables.journal
_COLUMNS = (
    _J.c.id, _J.c.at_us, _J.c.event, _J.c.pipeline, _J.c.key, _J.c.step, _J.c.attempt, _J.c.n,
    _J.c.data,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows of the journal are wanted; None: whatever it is."""

    event: str | None = None
    pipeline: str | None = None
    step: str | None = None
    key: str | None = None
    by: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether all rows are."""
        return self == Wanted()

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what chooses them, except by the person."""
        columns = (_J.c.event, _J.c.pipeline, _J.c.step, _J.c.key)
        values = (self.event, self.pipeline, self.step, self.key)
        pairs = zip(columns, values, strict=True)
        return [column == value for column, value in pairs if value is not None]


_ALL = Wanted()


def journal_page(
    store: "Store",
    *,
    before: int | None,
    limit: int,
    only_people: bool,
    with_access: bool,
    wanted: Wanted = _ALL,
) -> JournalPage:
    """Return at most `limit` rows before the row of that id (None: the newest), newest first.

    With `only_people`, those that say who did it. Of these, and of those that are `wanted`, a page looks
    at a bounded number of rows, and may have few, or none, and not be the last. Without `with_access`
    nobody's ways to get in are among them.
    """
    of_people = only_people or wanted.by is not None
    with store.reading() as unit:
        newest = before
        if newest is None:
            newest = int(unit.execute(select(func.max(_J.c.id))).scalar() or 0) + 1
        query = select(*_COLUMNS).where(_J.c.id < newest).order_by(_J.c.id.desc())
        if not with_access:
            query = query.where(_J.c.event.not_in(ACCESS_EVENTS))
        if of_people or not wanted.is_everything:
            oldest = max(newest - WINDOW, 0)
            some = query.where(_J.c.id >= oldest, *wanted.conditions())
            some = some.where(text(SELDOM)) if of_people else some.limit(limit + 1)
            rows = [_row(one) for one in unit.execute(some).fetchall()]
            if of_people:
                by = wanted.by
                rows = [row for row in rows if row.by is not None and by in (None, row.by)]
            is_cut = len(rows) > limit
            rows = rows[:limit]
            after = rows[-1].id if is_cut else oldest
            is_last = not is_cut and oldest <= 1
        else:
            rows = [_row(one) for one in unit.execute(query.limit(limit + 1)).fetchall()]
            is_last = len(rows) <= limit
            rows = rows[:limit]
            after = rows[-1].id if rows else 0
    return JournalPage(rows=tuple(rows), before=None if is_last else after)


def _row(row: Any) -> JournalRow:
    data = json.loads(row.data) if row.data else {}
    by, reason = data.get("by"), data.get("reason")
    return JournalRow(
        id=row.id,
        at=moment(row.at_us),
        event=row.event,
        pipeline=row.pipeline,
        item=row.key,
        step=row.step,
        attempt=text_of(row.attempt) if row.attempt is not None else None,
        n=row.n,
        by=by if isinstance(by, str) else None,
        reason=reason if isinstance(reason, str) else None,
    )
