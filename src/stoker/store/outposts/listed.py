"""What reading verbs return of outposts."""

from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.store import tables
from stoker.store.outposts.entries import Entry, entries, out_of
from stoker.store.site_rows import SiteStatus
from stoker.store.times import moment

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit


def site_status(unit: "Unit") -> dict[str, SiteStatus]:
    """Return how each outpost stands, by name; of those that the file no longer has, while any is out."""
    found = {}
    for one in entries(unit, everything=True):
        out = 0 if one.worker_id is None else out_of(unit, one.worker_id)
        if out or not one.is_removed:
            found[one.name] = _status(one, out, unit.now_us)
    return found


def _status(one: Entry, out: int, now_us: int) -> SiteStatus:
    outpost = one.outpost
    silent_us = now_us - (one.answered_us or now_us)
    queued = min(int(one.told.get("waiting", 0)), out)
    return SiteStatus(
        site=one.name,
        kind="files" if outpost.is_shared else "outpost",
        folder=outpost.folder,
        ssh=outpost.ssh,
        out=out,
        queued=queued,
        running=out - queued,
        held=one.held_by is not None,
        held_by=one.held_by,
        reason=one.reason,
        removed=one.is_removed,
        visited_at=moment(one.tried_us),
        answered_at=moment(one.answered_us),
        free_bytes=one.told.get("free_bytes"),
        bad=int(one.told.get("bad", 0)),
        orphans=int(one.told.get("orphans", 0)),
        trouble=one.trouble,
        system=None if outpost.batch is None else outpost.batch.system,
        pilots_waiting=int(one.told.get("pilots_waiting", 0)),
        pilots_running=int(one.told.get("pilots_running", 0)),
        system_trouble=one.told.get("system_trouble"),
        overdue=silent_us > outpost.overdue_s * 1e6
        or (one.answered_us is None and one.trouble is not None),
    )


def has_work_away(store: "Store") -> bool:
    """Whether anything is out at an outpost, or is ready to go to one that nobody holds."""
    from stoker.model.outpost import host_of

    with store.reading() as unit:
        known = entries(unit, everything=True)
        if not known:
            return False
        if any(one.worker_id is not None and out_of(unit, one.worker_id) for one in known):
            return True
        hosts = [host_of(one.name) for one in known if one.held_by is None and not one.is_removed]
        lanes = select(tables.lane.c.id).where(tables.lane.c.host.in_(hosts))
        waiting = select(tables.task.c.id).where(tables.task.c.lane.in_(lanes)).limit(1)
        return unit.execute(waiting).first() is not None
