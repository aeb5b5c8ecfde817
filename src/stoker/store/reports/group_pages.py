"""Pages of the list of groups."""

from typing import TYPE_CHECKING

from stoker.model.selection import Selection
from stoker.store.groups.listing import groups_behind
from stoker.store.groups.rows import GroupRow
from stoker.store.reports.places import Place
from stoker.store.rows import Page, Rows

if TYPE_CHECKING:
    from stoker.store.unit import Store


def page_of_groups(
    store: "Store",
    *,
    key: str | None,
    pipeline: str | None,
    is_waiting: bool,
    after: str | None,
    limit: int,
) -> Page[GroupRow]:
    """Return the groups behind the page whose `next` is `after`; with `is_waiting` those that wait."""
    asked = Selection(
        keys=() if key is None else (key,),
        pipeline=pipeline,
        states=("waiting",) if is_waiting else (),
    )
    place = Place("groups", asked, after=after, limit=limit)
    begin = place.id if isinstance(place.id, int) else 0
    found: list[tuple[int, GroupRow]] = []
    for one in groups_behind(store, begin, key=key, pipeline=pipeline, is_waiting=is_waiting):
        if len(found) == limit:
            return Page(rows=Rows(row for _, row in found), next=place.next(found[-1][0]))
        found.append(one)
    return Page(rows=Rows(row for _, row in found), next=None)
