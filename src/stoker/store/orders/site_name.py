"""The name of the store's own site, as people and other sites read it."""

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select, update

from stoker.errors import Conflict
from stoker.store import tables
from stoker.store.journal import Entry, append, to_json
from stoker.store.orders.shared_settings import may_replace
from stoker.store.reading_first import reading_first

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store

_S = tables.site


class SiteRenamed(NamedTuple):
    """What the store's own site was called before, and what it is called now."""

    before: str
    after: str


@reading_first
def name_site(
    store: "Store",
    name: str,
    *,
    set_by: str,
    actor: "Actor",
    take_over: bool = True,
    dry_run: bool = False,
) -> SiteRenamed | None:
    """The store's own site has this name; None if it had, or if that is for another file to say.

    Nothing that is recorded changes: rows name a site by its number. Without `take_over`, only the
    file that set the store's settings last may rename it. Conflict if another site is called so.
    """
    with store.writing(dry_run=dry_run, alone=True) as unit:
        names = {row.id: row.name for row in unit.execute(select(_S.c.id, _S.c.name)).fetchall()}
        before = names.pop(store.site)
        if before == name or not (take_over or may_replace(unit, set_by)):
            return None
        if name in names.values():
            raise Conflict(
                f"another site is called `{name}`; give this one another name in `[project] site`"
            )
        unit.execute(update(_S).where(_S.c.id == store.site).values(name=name))
        said = {"from": before, "to": name, **actor.data()}
        append(unit, [Entry("rename_site", n=0, data=to_json(said))])
    return SiteRenamed(before, name)
