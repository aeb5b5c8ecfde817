"""A person completes a group as it is: what more was expected of it is not waited for."""

from typing import TYPE_CHECKING

from sqlalchemy import update

from stoker.errors import WrongState
from stoker.store import tables
from stoker.store.groups.due import recount
from stoker.store.groups.listing import find_group
from stoker.store.groups.locking import lock_source
from stoker.store.journal import Entry, append, to_json
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store

EVENT = "group_close"
_G = tables.item_group


@as_a_whole
def close(
    store: "Store", key: str, actor: "Actor", *, pipeline: str | None = None, dry_run: bool = False
) -> tuple[str, str, int]:
    """The group is complete as it is, at the next look; return pipeline, key, and its members.

    Those of its members that are over later change it, as late members do. WrongState where none of
    its members is done, or it is complete already.
    """
    with store.writing(dry_run=dry_run) as unit:
        row, _ = find_group(unit, key, pipeline=pipeline)
        lock_source(unit, row.source_id)
        recount(unit, [row.id])
        row, _ = find_group(unit, key, pipeline=row.pipeline)
        if row.is_complete:
            raise WrongState(f"group `{row.key}` is complete already")
        if not row.done_n:
            raise WrongState(
                f"none of the members of group `{row.key}` is done, so there is nothing to do for it; "
                f"`stoker why {row.key}` says what it waits for"
            )
        values = {"closed_by": actor.user, "due_us": 0, "revision": _G.c.revision + 1}
        unit.execute(update(_G).where(_G.c.id == row.id).values(**values))
        append(unit, [Entry(EVENT, row.pipeline, row.key, n=0, data=to_json(actor.data()))])
        return row.pipeline, row.key, row.members
